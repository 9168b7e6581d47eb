/* Result arrays. */
#include "arrays.h"

#include <array>
#include <memory>
#include <new>

namespace symc::python {
namespace {

constexpr std::size_t large = std::size_t{64} << 10;
constexpr std::size_t most_kept = std::size_t{256} << 20;
constexpr const char *block_name = "symc.block";

struct Block {
  explicit Block(std::size_t wanted)
      : bytes(BlockCache::rounded(wanted)), memory(result_blocks().take(bytes)) {}
  ~Block() {
    if (memory != nullptr) {
      result_blocks().give(memory, bytes);
    }
  }
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;

  std::size_t bytes;
  void *memory;
};

void free_block(PyObject *capsule) noexcept {
  delete static_cast<Block *>(PyCapsule_GetPointer(capsule, block_name));
}

PyObject *block_array(PyArray_Descr *descr, std::span<const npy_intp> shape, std::size_t bytes) {
  auto block = std::make_unique<Block>(bytes);
  void *memory = block->memory;
  if (memory == nullptr) {
    PyErr_Format(PyExc_MemoryError, "cannot allocate %zu bytes for a result", bytes);
    throw PythonError{};
  }
  Ref capsule(PyCapsule_New(block.get(), block_name, free_block));
  if (!capsule) {
    throw PythonError{};
  }
  Block *owned_by_capsule = block.release();
  static_cast<void>(owned_by_capsule);
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
  alignas(BlockCache) static std::array<std::byte, sizeof(BlockCache)> storage;
  static auto *blocks = new (storage.data()) BlockCache(most_kept);
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
