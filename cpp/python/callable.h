/* The Python types on the call path, written against the C API: Callable and Prepared. */
#ifndef SYMC_CALLABLE_H
#define SYMC_CALLABLE_H

#include "numpy_api.h"

namespace symc::python {

/* Adds the types to the module; false with a Python error. */
[[nodiscard]] bool add_callable_types(PyObject *module) noexcept;

/* A Prepared: (executable, structure, args tuple, outs tuple or null).  Null with a Python error.
 */
[[nodiscard]] PyObject *prepare(PyObject *executable, int structure, PyObject *args,
                                PyObject *out) noexcept;

/* The type object of Prepared, made by add_callable_types. */
[[nodiscard]] PyTypeObject *make_prepared_type() noexcept;

} // namespace symc::python

#endif
