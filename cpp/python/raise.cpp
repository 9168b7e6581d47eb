/* The Python class of every kind of error.  The classes are those of symc.ir.errors; texts, with
   the user's line, are composed by symc.runtime.faults. */
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
  case ErrorKind::Value:
    return "DomainError";
  case ErrorKind::Index:
    return "SymcIndexError";
  case ErrorKind::Busy:
  case ErrorKind::Interrupted:
  case ErrorKind::Trap:
  case ErrorKind::Memory:
    return "SymcError";
  }
  return "SymcError";
}

void raise(const Ref &exception) {
  if (exception) {
    PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(exception.get())), exception.get());
  }
}

void set_trap(PyObject *faults, const symc_status &trap, const Origin &origin) {
  PyObject *locations = origin.locations == nullptr ? Py_None : origin.locations;
  raise(
      Ref(PyObject_CallMethod(faults, "trap", "(iiLLL)sO", trap.code, trap.node,
                              static_cast<long long>(trap.step), static_cast<long long>(trap.index),
                              static_cast<long long>(trap.value), origin.program, locations)));
}

} // namespace

void set_error(const Error &error, const Origin &origin) noexcept {
  if (error.kind() == ErrorKind::Memory) {
    return PyErr_SetString(PyExc_MemoryError, error.what());
  }
  if (error.kind() == ErrorKind::Interrupted && PyErr_Occurred() != nullptr) {
    return; /* what the signal handler raised */
  }
  PyErr_Clear();
  const Ref faults(PyImport_ImportModule("symc.runtime.faults"));
  if (!faults) {
    return;
  }
  if (error.kind() == ErrorKind::Trap) {
    return set_trap(faults.get(), error.trap(), origin);
  }
  PyObject *locations = origin.locations == nullptr ? Py_None : origin.locations;
  raise(Ref(PyObject_CallMethod(faults.get(), "failure", "sssIO", class_name(error.kind()),
                                error.what(), origin.program, error.node(), locations)));
}

} // namespace symc::python
