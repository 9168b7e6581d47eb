# symc._runtime: the one door between Python and the runtime, and the type stub made from it.
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module NumPy)
execute_process(
  COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
  OUTPUT_VARIABLE nanobind_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED)

# cpp/python holds what needs the C API of Python and NumPy; only bindings.cpp sees nanobind.
file(GLOB python_sources CONFIGURE_DEPENDS cpp/python/*.cpp)
nanobind_add_module(_runtime NB_STATIC NOMINSIZE NB_SUPPRESS_WARNINGS
  cpp/runtime/bindings.cpp ${python_sources})
target_link_libraries(_runtime PRIVATE symc_runtime symc_flags Python::NumPy)
target_compile_definitions(_runtime PRIVATE
  NPY_TARGET_VERSION=NPY_2_0_API_VERSION
  NPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION)

if(NOT SYMC_SANITIZE)
  nanobind_add_stub(_runtime_stub
    MODULE _runtime
    OUTPUT "${CMAKE_BINARY_DIR}/_runtime.pyi"
    PYTHON_PATH $<TARGET_FILE_DIR:_runtime>
    PATTERN_FILE "${CMAKE_CURRENT_SOURCE_DIR}/cmake/stub.pat"
    DEPENDS _runtime)
  install(FILES "${CMAKE_BINARY_DIR}/_runtime.pyi" DESTINATION symc)
endif()
install(TARGETS _runtime LIBRARY DESTINATION symc)
