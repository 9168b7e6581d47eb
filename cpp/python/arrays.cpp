/* Result arrays. */
#include "arrays.h"

namespace symc::python {
namespace {

constexpr std::size_t large = std::size_t{64} << 10;
constexpr std::size_t most_kept = std::size_t{256} << 20;
constexpr const char *block_name = "symc.block";

void free_block(PyObject *capsule) noexcept {
  void *memory = PyCapsule_GetPointer(capsule, block_name);
  const auto bytes = reinterpret_cast<std::size_t>(PyCapsule_GetContext(capsule));
  result_blocks().give(memory, bytes);
}

PyObject *block_array(PyArray_Descr *descr, std::span<const npy_intp> shape, std::size_t bytes) {
  const std::size_t rounded = BlockCache::rounded(bytes);
  void *memory = result_blocks().take(rounded);
  if (memory == nullptr) {
    PyErr_Format(PyExc_MemoryError, "cannot allocate %zu bytes for a result", bytes);
    throw PythonError{};
  }
  Ref capsule(PyCapsule_New(memory, block_name, free_block));
  if (!capsule) {
    result_blocks().give(memory, rounded);
    throw PythonError{};
  }
  (void)PyCapsule_SetContext(capsule.get(), reinterpret_cast<void *>(rounded));
  Py_INCREF(descr);
  Ref array(PyArray_NewFromDescr(&PyArray_Type, descr, static_cast<int>(shape.size()), shape.data(),
                                 nullptr, memory, NPY_ARRAY_CARRAY, nullptr));
  if (!array || PyArray_SetBaseObject(as_array(array.get()), capsule.release()) < 0) {
    throw PythonError{};
  }
  return array.release();
}

} // namespace

/* Never destroyed: arrays may outlive every static object. */
BlockCache &result_blocks() noexcept {
  static auto *blocks = new BlockCache(most_kept);
  return *blocks;
}

PyObject *new_array(PyArray_Descr *descr, std::span<const npy_intp> shape, std::size_t bytes) {
  if (bytes >= large) {
    return block_array(descr, shape, bytes);
  }
  Py_INCREF(descr);
  PyObject *array = PyArray_NewFromDescr(&PyArray_Type, descr, static_cast<int>(shape.size()),
                                         shape.data(), nullptr, nullptr, 0, nullptr);
  if (array == nullptr) {
    throw PythonError{};
  }
  return array;
}

bool owns_memory(PyArrayObject *array) noexcept {
  if (PyArray_CHKFLAGS(array, NPY_ARRAY_OWNDATA)) {
    return true;
  }
  PyObject *base = PyArray_BASE(array);
  return base != nullptr && PyCapsule_IsValid(base, block_name) != 0;
}

} // namespace symc::python
