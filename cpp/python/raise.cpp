/* The Python class of every kind of error.  The classes are those of symc.ir.errors; the text of a
   trap is composed by symc.runtime.faults. */
#include "raise.h"

namespace symc::python {
namespace {

const char *class_name(ErrorKind kind) noexcept {
  switch (kind) {
  case ErrorKind::Format:
    return "ParseError";
  case ErrorKind::Load:
    return "CompileError";
  case ErrorKind::Unsupported:
    return "UnsupportedError";
  case ErrorKind::Shape:
    return "ShapeError";
  case ErrorKind::DType:
    return "DTypeError";
  case ErrorKind::Busy:
  case ErrorKind::Interrupted:
  case ErrorKind::Trap:
  case ErrorKind::Memory:
  case ErrorKind::Value:
    return "SymcError";
  }
  return "SymcError";
}

void set_trap(const symc_status &trap, const Origin &origin) {
  const Ref faults(PyImport_ImportModule("symc.runtime.faults"));
  if (!faults) {
    return;
  }
  PyObject *locations = origin.locations == nullptr ? Py_None : origin.locations;
  const Ref exception(
      PyObject_CallMethod(faults.get(), "trap", "(iiLLL)sO", trap.code, trap.node,
                          static_cast<long long>(trap.step), static_cast<long long>(trap.index),
                          static_cast<long long>(trap.value), origin.program, locations));
  if (exception) {
    PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(exception.get())), exception.get());
  }
}

} // namespace

void set_error(const Error &error, const Origin &origin) noexcept {
  switch (error.kind()) {
  case ErrorKind::Trap:
    return set_trap(error.trap(), origin);
  case ErrorKind::Memory:
    return PyErr_SetString(PyExc_MemoryError, error.what());
  case ErrorKind::Value:
    return PyErr_SetString(PyExc_ValueError, error.what());
  case ErrorKind::Interrupted:
    if (PyErr_Occurred() != nullptr) {
      return; /* what the signal handler raised */
    }
    break;
  case ErrorKind::Format:
  case ErrorKind::Load:
  case ErrorKind::Unsupported:
  case ErrorKind::Shape:
  case ErrorKind::DType:
  case ErrorKind::Busy:
    break;
  }
  const Ref errors(PyImport_ImportModule("symc.ir.errors"));
  const Ref type(errors ? PyObject_GetAttrString(errors.get(), class_name(error.kind())) : nullptr);
  if (type) {
    PyErr_SetString(type.get(), error.what());
  }
}

} // namespace symc::python
