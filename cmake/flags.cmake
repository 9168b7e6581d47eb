# Flags of our own targets: link symc_flags PRIVATE. Third-party headers come in as SYSTEM.
add_library(symc_flags INTERFACE)
target_compile_options(symc_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wswitch-enum
  $<$<BOOL:${SYMC_WERROR}>:-Werror>)

# Everything in the process shares these: the same bits on every machine (no contraction of
# a*b+c behind the program's back), and nothing exported that the C ABI does not name.
add_compile_options(-ffp-contract=off -fno-omit-frame-pointer)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(SYMC_SANITIZE)
  add_compile_options(-fsanitize=${SYMC_SANITIZE} -fno-sanitize-recover=all -g -O1 -UNDEBUG)
  add_link_options(-fsanitize=${SYMC_SANITIZE})
endif()
