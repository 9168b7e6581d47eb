/* Result arrays: small ones from NumPy, large ones from a free list of 64-byte aligned blocks. */
#ifndef SYMC_ARRAYS_H
#define SYMC_ARRAYS_H

#include <span>

#include "memory.h"
#include "numpy_api.h"

namespace symc::python {

/* A new C-contiguous array with contents undefined; `descr` is borrowed.  Throws PythonError. */
[[nodiscard]] PyObject *new_array(PyArray_Descr *descr, std::span<const npy_intp> shape,
                                  std::size_t bytes);

/* Whether the array owns its memory: NumPy's own, or a block of the free list. */
[[nodiscard]] bool owns_memory(PyArrayObject *array) noexcept;

/* The blocks that results gave back. */
[[nodiscard]] BlockCache &result_blocks() noexcept;

struct Extent {
  const char *begin;
  const char *end;
};

/* The bytes that a C-contiguous array covers. */
[[nodiscard]] inline Extent extent(PyArrayObject *array) noexcept {
  const auto *begin = static_cast<const char *>(PyArray_DATA(array));
  return {begin, begin + PyArray_NBYTES(array)};
}

[[nodiscard]] inline bool overlap(const Extent &a, const Extent &b) noexcept {
  return a.begin < b.end && b.begin < a.end;
}

} // namespace symc::python

#endif
