/* Errors of the runtime core.  Every function of the core that fails throws symc::Error; the door
   (py_errors.cpp) turns the kind into the Python class.  Nothing in the core aborts. */
#ifndef SYMC_ERROR_H
#define SYMC_ERROR_H

#include <cstdint>
#include <stdexcept>
#include <string>

#include "symc.h"

namespace symc {

enum class ErrorKind {
  Format,      /* malformed bytes: ParseError */
  Load,        /* object code that cannot be mapped: CompileError */
  Unsupported, /* well formed, but not in this build: UnsupportedError */
  Shape,       /* sizes that do not fit: ShapeError */
  DType,       /* element types that do not fit: DTypeError */
  Memory,      /* sizes overflow or memory is exhausted: MemoryError */
  Value,       /* wrong argument value: ValueError */
  Index,       /* an index outside an axis: SymcIndexError */
  Busy,        /* a shared variable is in use by this very thread: SymcError */
  Interrupted, /* the poll asked to stop; the poll has set the Python error */
  Trap         /* `trap` says what and where */
};

class Error : public std::runtime_error {
public:
  Error(ErrorKind kind, const std::string &message) : std::runtime_error(message), kind_(kind) {}
  /* With the number of the operation in the program's table of locations. */
  Error(ErrorKind kind, const std::string &message, std::uint32_t node)
      : std::runtime_error(message), kind_(kind), node_(node) {}
  explicit Error(const symc_status &trap)
      : std::runtime_error("trap"), kind_(ErrorKind::Trap), trap_(trap) {}

  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }
  [[nodiscard]] const symc_status &trap() const noexcept { return trap_; }
  [[nodiscard]] std::uint32_t node() const noexcept { return node_; }

private:
  ErrorKind kind_;
  symc_status trap_{};
  std::uint32_t node_ = 0; /* 0: unknown */
};

} // namespace symc

#endif
