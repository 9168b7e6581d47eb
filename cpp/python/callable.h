/* The Python types on the call path, written against the C API: Callable and Prepared. */
#ifndef SYMC_CALLABLE_H
#define SYMC_CALLABLE_H

#include "compiled.h"

namespace symc::python {

/* Adds the types to the module; false with a Python error. */
[[nodiscard]] bool add_callable_types(PyObject *module) noexcept;

/* How results are handed out: `tree` is the Tree of Nested ones, or null. */
struct Form {
  Structure structure;
  PyObject *tree;
};

/* A Prepared: (executable, form of results, tuple of inputs, what to write into or null).  Null
   with a Python error. */
[[nodiscard]] PyObject *prepare(PyObject *executable, Form form, PyObject *args,
                                PyObject *out) noexcept;

/* The type object of Prepared, made by add_callable_types. */
[[nodiscard]] PyTypeObject *make_prepared_type() noexcept;

} // namespace symc::python

#endif
