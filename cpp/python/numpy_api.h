/* Python and NumPy as the door uses them.  One file (dtypes.cpp) imports the array API. */
#ifndef SYMC_NUMPY_API_H
#define SYMC_NUMPY_API_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define PY_ARRAY_UNIQUE_SYMBOL SYMC_ARRAY_API
#ifndef SYMC_IMPORT_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <exception>
#include <utility>

namespace symc::python {

/* An owned reference. */
class Ref {
public:
  Ref() = default;
  explicit Ref(PyObject *owned) noexcept : object_(owned) {}
  ~Ref() { Py_XDECREF(object_); }
  Ref(const Ref &) = delete;
  Ref &operator=(const Ref &) = delete;
  Ref(Ref &&other) noexcept : object_(other.release()) {}
  Ref &operator=(Ref &&other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }

  [[nodiscard]] static Ref borrow(PyObject *object) noexcept {
    Py_XINCREF(object);
    return Ref(object);
  }
  [[nodiscard]] PyObject *get() const noexcept { return object_; }
  [[nodiscard]] PyObject *release() noexcept { return std::exchange(object_, nullptr); }
  explicit operator bool() const noexcept { return object_ != nullptr; }

private:
  PyObject *object_ = nullptr;
};

/* Thrown when a Python error is already set. */
struct PythonError : std::exception {};

[[nodiscard]] inline PyArrayObject *as_array(PyObject *object) noexcept {
  return reinterpret_cast<PyArrayObject *>(object);
}

} // namespace symc::python

#endif
