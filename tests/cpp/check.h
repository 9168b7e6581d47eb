/* The little that the C++ tests need: CHECK prints what failed and the test goes on; the executable
   returns 1 when anything failed. */
#ifndef SYMC_TESTS_CHECK_H
#define SYMC_TESTS_CHECK_H

#include <atomic>
#include <cstdio>
#include <optional>

#include "error.h"

namespace check {

inline std::atomic<int> failures{0};

inline void report(bool good, const char *file, int line, const char *what) {
  if (!good) {
    std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
    ++failures;
  }
}

/* The kind of error that `body` throws; none when it returns. */
template <class Body> std::optional<symc::ErrorKind> error_of(Body body) {
  try {
    body();
  } catch (const symc::Error &error) {
    return error.kind();
  }
  return std::nullopt;
}

inline int result() {
  if (failures != 0) {
    std::fprintf(stderr, "%d checks failed\n", failures.load());
    return 1;
  }
  return 0;
}

} // namespace check

#define CHECK(condition) check::report((condition), __FILE__, __LINE__, #condition)
#define CHECK_THROWS(kind, ...)                                                                    \
  check::report(check::error_of([&] { __VA_ARGS__; }) == symc::ErrorKind::kind, __FILE__,          \
                __LINE__, #kind ": " #__VA_ARGS__)

#endif
