/* C++ exceptions as Python exceptions. */
#ifndef SYMC_RAISE_H
#define SYMC_RAISE_H

#include <new>

#include "error.h"
#include "numpy_api.h"

namespace symc::python {

/* What a trap's message needs besides the record. */
struct Origin {
  PyObject *locations = nullptr; /* tuple of str, borrowed */
  const char *program = "";
};

/* Sets the Python error for `error`. */
void set_error(const Error &error, const Origin &origin = {}) noexcept;

/* Runs `body`, which returns a pointer; null with a Python error set when it throws. */
template <class Body> PyObject *guarded(Body body) noexcept {
  try {
    return body();
  } catch (const PythonError &) {
    return nullptr;
  } catch (const Error &error) {
    set_error(error);
    return nullptr;
  } catch (const std::bad_alloc &) {
    return PyErr_NoMemory();
  } catch (const std::exception &error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
}

} // namespace symc::python

#endif
