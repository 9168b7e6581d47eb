/* Prepared: a call without arguments.  It keeps references to its arguments and reads their current
   contents at each call; with `out` it writes there and allocates nothing. */
#include <algorithm>

#include "arrays.h"
#include "call.h"
#include "callable.h"
#include "raise.h"

namespace symc::python {
namespace {

struct PreparedObject {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *executable;
  Compiled *compiled;
  PyObject *args; /* tuple */
  PyObject *outs; /* tuple of arrays, or null */
  PyObject *out;  /* what the caller gave and gets back, or null */
  PyObject *tree; /* of Nested results, or null */
  Structure structure;
};

PyTypeObject *prepared_type = nullptr;

PreparedObject *self_of(PyObject *object) noexcept {
  return reinterpret_cast<PreparedObject *>(object);
}

PyObject *const *items(PyObject *tuple) noexcept { return &PyTuple_GET_ITEM(tuple, 0); }

PyObject *vectorcall(PyObject *object, PyObject *const *, std::size_t flags,
                     PyObject *names) noexcept {
  PreparedObject *self = self_of(object);
  if (PyVectorcall_NARGS(flags) != 0 || (names != nullptr && PyTuple_GET_SIZE(names) != 0)) {
    PyErr_SetString(PyExc_TypeError, "a prepared call takes no arguments");
    return nullptr;
  }
  Request request{items(self->args), static_cast<std::size_t>(PyTuple_GET_SIZE(self->args))};
  request.structure = self->structure;
  request.tree = self->tree == nullptr ? nullptr : tree_of(self->tree);
  request.outs = self->outs == nullptr ? nullptr : items(self->outs);
  PyObject *result = nullptr;
  const int outcome = call(*self->compiled, request, result);
  if (outcome == 0) {
    set_error(Error(ErrorKind::Value, "an argument of a prepared call has changed its dtype, shape "
                                      "or layout since bind; bind it again"),
              {nullptr, self->compiled->vm.program().name.c_str()});
  }
  if (outcome != 1) {
    return nullptr;
  }
  if (self->out == nullptr) {
    return result;
  }
  Py_DECREF(result);
  return Py_NewRef(self->out);
}

[[noreturn]] void refuse(std::size_t i, const char *why) {
  throw Error(ErrorKind::Value, "out of result " + std::to_string(i) + " " + why);
}

void check_out(std::size_t i, PyObject *out, const OutputRule &rule) {
  if (!Py_IS_TYPE(out, &PyArray_Type)) {
    refuse(i, "is not an array");
  }
  PyArrayObject *array = as_array(out);
  constexpr int wanted = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE;
  if ((PyArray_FLAGS(array) & wanted) != wanted) {
    refuse(i, "is not writeable, C-contiguous and aligned");
  }
  const PyArray_Descr *descr = PyArray_DESCR(array);
  if (descr->type_num != rule.descr->type_num || descr->byteorder == NPY_OPPBYTE) {
    refuse(i, "has another dtype");
  }
}

void check_overlap(std::size_t i, PyObject *out, PyObject *others, const char *why) {
  for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(others); ++j) {
    PyObject *other = PyTuple_GET_ITEM(others, j);
    const bool both = other != out && Py_IS_TYPE(other, &PyArray_Type);
    if (both && overlap(extent(as_array(out)), extent(as_array(other)))) {
      refuse(i, why);
    }
  }
}

/* The parts of `out` in the order of the results. */
Ref listed(Form form, PyObject *out) {
  if (form.structure == Structure::Single) {
    return Ref(PyTuple_Pack(1, out));
  }
  if (form.structure != Structure::Nested) {
    return Ref(PySequence_Tuple(out));
  }
  const Tree *tree = tree_of(form.tree);
  Leaves leaves(tree->leaves());
  if (!tree->gather(out, leaves)) {
    throw Error(ErrorKind::Value, "out has not the structure of the results");
  }
  return leaves.tuple();
}

/* The arrays to write into, checked against the outputs, the arguments and each other. */
Ref checked_outs(const Compiled &c, Form form, PyObject *args, PyObject *out) {
  Ref outs = listed(form, out);
  if (!outs) {
    throw PythonError{};
  }
  if (static_cast<std::size_t>(PyTuple_GET_SIZE(outs.get())) != c.outputs.size() || c.donates) {
    throw Error(ErrorKind::Value, "out needs one array per result and no donated input");
  }
  for (std::size_t i = 0; i < c.outputs.size(); ++i) {
    PyObject *array = items(outs.get())[i];
    if (c.outputs[i].late) {
      refuse(i, "cannot be given: how large it is, the call finds out");
    }
    check_out(i, array, c.outputs[i]);
    for (Py_ssize_t j = 0; j < PyTuple_GET_SIZE(args); ++j) {
      if (PyTuple_GET_ITEM(args, j) == array) {
        refuse(i, "is an argument");
      }
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (items(outs.get())[j] == array) {
        refuse(i, "is given twice");
      }
    }
    check_overlap(i, array, args, "overlaps an argument");
    check_overlap(i, array, outs.get(), "overlaps another out");
  }
  return outs;
}

int traverse(PyObject *object, visitproc visit, void *arg) noexcept {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self_of(object)->executable);
  Py_VISIT(self_of(object)->args);
  Py_VISIT(self_of(object)->outs);
  Py_VISIT(self_of(object)->out);
  Py_VISIT(self_of(object)->tree);
  return 0;
}

void destroy(PyObject *object) noexcept {
  PyTypeObject *type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  Py_XDECREF(self_of(object)->executable);
  Py_XDECREF(self_of(object)->args);
  Py_XDECREF(self_of(object)->outs);
  Py_XDECREF(self_of(object)->out);
  Py_XDECREF(self_of(object)->tree);
  type->tp_free(object);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PreparedObject, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char *>("A prepared call without arguments; made by Callable.bind.")},
    {Py_tp_dealloc, reinterpret_cast<void *>(destroy)},
    {Py_tp_traverse, reinterpret_cast<void *>(traverse)},
    {Py_tp_call, reinterpret_cast<void *>(PyVectorcall_Call)},
    {Py_tp_members, members},
    {0, nullptr}};

PyType_Spec specification = {"symc._runtime.Prepared", static_cast<int>(sizeof(PreparedObject)), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                                 Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             slots};

} // namespace

PyTypeObject *make_prepared_type() noexcept {
  if (prepared_type == nullptr) {
    prepared_type = reinterpret_cast<PyTypeObject *>(PyType_FromSpec(&specification));
  }
  return prepared_type;
}

PyObject *prepare(PyObject *executable, Form form, PyObject *args, PyObject *out) noexcept {
  return guarded([&]() -> PyObject * {
    Compiled *compiled = compiled_of(executable);
    if (compiled == nullptr) {
      return nullptr;
    }
    Ref outs;
    if (out != nullptr) {
      outs = checked_outs(*compiled, form, args, out);
    }
    PyObject *object = prepared_type->tp_alloc(prepared_type, 0);
    if (object == nullptr) {
      return nullptr;
    }
    PreparedObject *self = self_of(object);
    self->vectorcall = vectorcall;
    self->executable = Py_NewRef(executable);
    self->compiled = compiled;
    self->args = Py_NewRef(args);
    self->outs = outs.release();
    self->out = Py_XNewRef(out);
    self->tree = Py_XNewRef(form.tree);
    self->structure = form.structure;
    return object;
  });
}

} // namespace symc::python
