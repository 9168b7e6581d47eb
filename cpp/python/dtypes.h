/* The runtime's dtypes as NumPy's. */
#ifndef SYMC_DTYPES_H
#define SYMC_DTYPES_H

#include "numpy_api.h"
#include "program.h"

namespace symc::python {

/* Imports NumPy's C API; false with a Python error. */
[[nodiscard]] bool import_numpy() noexcept;

/* NumPy's descriptor (a new reference); throws PythonError (bfloat16 without ml_dtypes). */
[[nodiscard]] PyArray_Descr *descriptor(DType dtype);

/* The runtime's dtype of a native descriptor; throws Error(DType). */
[[nodiscard]] DType dtype_of(const PyArray_Descr *descr);

/* A second NumPy type number with the same meaning (long and long long), else the first. */
[[nodiscard]] int twin_type(int type_num) noexcept;

} // namespace symc::python

#endif
