/* Shared variables from Python.  A lock that is taken is waited for without the GIL. */
#include "states.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "arrays.h"
#include "dtypes.h"
#include "error.h"
#include "gil.h"

namespace symc::python {
namespace {

constexpr const char *view_name = "symc.view";

/* A C-contiguous, aligned, native array with the contents of `value`, which must be an ndarray. */
Ref contiguous(PyObject *value) {
  if (!PyArray_Check(value)) {
    PyErr_SetString(PyExc_TypeError, "a shared variable takes an ndarray");
    throw PythonError{};
  }
  PyArray_Descr *native = PyArray_DescrNewByteorder(PyArray_DESCR(as_array(value)), NPY_NATIVE);
  if (native == nullptr) {
    throw PythonError{};
  }
  Ref array(PyArray_FromArray(as_array(value), native,
                              NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_ENSUREARRAY));
  if (!array) {
    throw PythonError{};
  }
  return array;
}

std::span<const npy_intp> shape_of(PyObject *array) {
  return {PyArray_DIMS(as_array(array)), static_cast<std::size_t>(PyArray_NDIM(as_array(array)))};
}

std::shared_ptr<State> make_state(PyObject *array, std::string name) {
  const auto shape = shape_of(array);
  auto state = std::make_shared<State>(std::move(name), dtype_of(PyArray_DESCR(as_array(array))),
                                       std::vector<std::int64_t>(shape.begin(), shape.end()));
  std::memcpy(state->current()->data(), PyArray_DATA(as_array(array)), state->bytes());
  return state;
}

/* Takes the lock, without holding the GIL while it waits. */
void lock(StateLocks &locks) {
  if (locks.try_acquire()) {
    return;
  }
  Unlocked gil;
  Poller poller = gil.poller();
  locks.acquire(poller);
}

void free_view(PyObject *capsule) noexcept {
  delete static_cast<std::shared_ptr<Memory> *>(PyCapsule_GetPointer(capsule, view_name));
}

PyObject *view_of(const State &state, PyArray_Descr *descr) {
  auto keep = std::make_unique<std::shared_ptr<Memory>>(state.current());
  void *data = (*keep)->data();
  Ref capsule(PyCapsule_New(keep.get(), view_name, free_view));
  if (!capsule) {
    throw PythonError{};
  }
  std::shared_ptr<Memory> *owned_by_capsule = keep.release();
  static_cast<void>(owned_by_capsule);
  Py_INCREF(descr);
  Ref array(PyArray_NewFromDescr(&PyArray_Type, descr, static_cast<int>(state.shape().size()),
                                 state.shape().data(), nullptr, data, NPY_ARRAY_CARRAY_RO,
                                 nullptr));
  if (!array || PyArray_SetBaseObject(as_array(array.get()), capsule.release()) < 0) {
    throw PythonError{};
  }
  return array.release();
}

} // namespace

Shared::Shared(PyObject *value, std::string name, bool resizable) : resizable_(resizable) {
  const Ref array = contiguous(value);
  state = make_state(array.get(), std::move(name));
}

PyObject *Shared::get(bool copy) {
  const Ref descr(reinterpret_cast<PyObject *>(descriptor(state->dtype())));
  auto *type = reinterpret_cast<PyArray_Descr *>(descr.get());
  const std::array<StateUse, 1> uses{StateUse{state.get(), false}};
  StateLocks locks(uses);
  lock(locks);
  if (!copy) {
    return view_of(*state, type);
  }
  PyObject *array = new_array(type, state->shape(), state->bytes());
  std::memcpy(PyArray_DATA(as_array(array)), state->current()->data(), state->bytes());
  return array;
}

void Shared::set(PyObject *value) {
  const Ref array = contiguous(value);
  const auto shape = shape_of(array.get());
  if (dtype_of(PyArray_DESCR(as_array(array.get()))) != state->dtype()) {
    throw Error(ErrorKind::DType, "shared variable " + state->name() + " has another dtype");
  }
  const std::array<StateUse, 1> uses{StateUse{state.get(), true}};
  StateLocks locks(uses);
  lock(locks);
  const bool same = std::ranges::equal(shape, state->shape());
  if (!same && (!resizable_ || shape.size() != state->shape().size())) {
    throw Error(ErrorKind::Shape, "shared variable " + state->name() + " has another shape");
  }
  if (!same) {
    const auto bytes = static_cast<std::size_t>(PyArray_NBYTES(as_array(array.get())));
    state->replace(std::make_shared<Memory>(bytes), shape);
  }
  std::memcpy(state->current()->data(), PyArray_DATA(as_array(array.get())), state->bytes());
}

PyObject *Shared::dtype() const { return reinterpret_cast<PyObject *>(descriptor(state->dtype())); }

PyObject *Shared::shape() const {
  const auto &sizes = state->shape();
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(sizes.size())));
  for (std::size_t i = 0; tuple && i < sizes.size(); ++i) {
    PyObject *size = PyLong_FromLongLong(sizes[i]);
    if (size == nullptr) {
      throw PythonError{};
    }
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), size);
  }
  if (!tuple) {
    throw PythonError{};
  }
  return tuple.release();
}

} // namespace symc::python
