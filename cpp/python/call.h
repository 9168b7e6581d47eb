/* One call from Python: match, lay out, make results, run, hand out. */
#ifndef SYMC_CALL_H
#define SYMC_CALL_H

#include <cstdint>

#include "compiled.h"
#include "tree.h"

namespace symc::python {

struct Request {
  PyObject *const *args = nullptr;
  std::size_t count = 0;
  std::int64_t repeat = 1;
  Structure structure = Structure::Single;
  const Tree *tree = nullptr;      /* of Nested results */
  PyObject *const *outs = nullptr; /* arrays to write into, one per output */
};

/* Runs the request.  False: the arguments do not match and nothing was done; else `result` is a new
   reference (with `outs`: None, borrowed arrays are written).  Throws Error, PythonError. */
[[nodiscard]] bool try_call(Compiled &compiled, const Request &request, PyObject *&result);

/* try_call that turns every exception into a Python error: -1 error, 0 no match, 1 done. */
[[nodiscard]] int call(Compiled &compiled, const Request &request, PyObject *&result) noexcept;

} // namespace symc::python

#endif
