/* Callable: the object that a compiled function is.  It tries its entries in order; the first whose
   inputs all match runs, without any Python code; otherwise `miss(args, kwargs)` decides. */
#include "callable.h"

#include <new>
#include <vector>

#include "arrays.h"
#include "call.h"
#include "entry.h"
#include "raise.h"

namespace symc::python {
namespace {

struct CallableObject {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *weak_references;
  PyObject *miss;    /* (args, kwargs) -> result */
  PyObject *resolve; /* (args, kwargs) -> args that match an entry; for call_n and bind */
  std::vector<Entry> *entries;
  PyObject *last; /* Executable that ran last */
  char trust_input;
};

CallableObject *self_of(PyObject *object) noexcept {
  return reinterpret_cast<CallableObject *>(object);
}

void remember(CallableObject *self, PyObject *executable) noexcept {
  if (self->last == executable) {
    return;
  }
  PyObject *before = self->last;
  self->last = Py_NewRef(executable);
  Py_XDECREF(before);
}

/* A new reference; null without a Python error when no entry matches.  Any Python code may run: an
   entry is not read after its call. */
PyObject *try_entries(CallableObject *self, const Given &given, std::int64_t repeat = 1) noexcept {
  return guarded([&]() -> PyObject * {
    Inputs inputs(given);
    for (std::size_t i = 0; i < self->entries->size(); ++i) {
      if (!inputs.have((*self->entries)[i].arguments)) {
        continue;
      }
      const Entry &entry = (*self->entries)[i];
      const Ref alive = Ref::borrow(entry.executable.get());
      const Ref results = Ref::borrow(entry.results.get());
      Request request{.repeat = repeat, .structure = entry.structure};
      inputs.put(entry.arguments, request);
      request.tree = results ? tree_of(results.get()) : nullptr;
      PyObject *result = nullptr;
      if (call(*entry.compiled, request, result) != 0) {
        remember(self, alive.get());
        return result;
      }
    }
    return nullptr;
  });
}

/* Positional and keyword arguments of a vectorcall as a tuple and a dict. */
bool pack(PyObject *const *args, Py_ssize_t count, PyObject *names, Ref &tuple, Ref &dict) {
  tuple = Ref(PyTuple_New(count));
  dict = Ref(PyDict_New());
  if (!tuple || !dict) {
    return false;
  }
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(args[i]));
  }
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < named; ++i) {
    if (PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(names, i), args[count + i]) < 0) {
      return false;
    }
  }
  return true;
}

PyObject *no_entry() {
  PyErr_SetString(PyExc_LookupError, "no entry takes these arguments");
  return nullptr;
}

PyObject *or_no_entry(PyObject *result) {
  return result != nullptr || PyErr_Occurred() != nullptr ? result : no_entry();
}

PyObject *ask(PyObject *callback, PyObject *const *args, Py_ssize_t count, PyObject *names) {
  if (callback == nullptr) {
    return no_entry();
  }
  Ref tuple;
  Ref dict;
  if (!pack(args, count, names, tuple, dict)) {
    return nullptr;
  }
  return PyObject_CallFunctionObjArgs(callback, tuple.get(), dict.get(), nullptr);
}

PyObject *vectorcall(PyObject *object, PyObject *const *args, std::size_t flags,
                     PyObject *names) noexcept {
  CallableObject *self = self_of(object);
  const Py_ssize_t count = PyVectorcall_NARGS(flags);
  if (names != nullptr && PyTuple_GET_SIZE(names) == 0) {
    names = nullptr;
  }
  PyObject *result = try_entries(self, {args, static_cast<std::size_t>(count), names});
  return result != nullptr || PyErr_Occurred() != nullptr ? result
                                                          : ask(self->miss, args, count, names);
}

/* Arguments that match an entry: as given, or as `resolve` converts them. */
class Matched {
public:
  Matched(PyObject *const *args, std::size_t count) : args_(args), count_(count) {}

  /* False with a Python error. */
  bool resolve(CallableObject *self) {
    tuple_ = Ref(ask(self->resolve, args_, static_cast<Py_ssize_t>(count_), nullptr));
    if (!tuple_) {
      return false;
    }
    if (!PyTuple_Check(tuple_.get())) {
      PyErr_SetString(PyExc_TypeError, "resolve must return a tuple of arguments");
      return false;
    }
    args_ = &PyTuple_GET_ITEM(tuple_.get(), 0);
    count_ = static_cast<std::size_t>(PyTuple_GET_SIZE(tuple_.get()));
    return true;
  }

  [[nodiscard]] Given given() const noexcept { return {args_, count_}; }

private:
  PyObject *const *args_;
  std::size_t count_;
  Ref tuple_;
};

PyObject *call_n(PyObject *object, PyObject *const *args, Py_ssize_t count) noexcept {
  CallableObject *self = self_of(object);
  if (count < 1) {
    PyErr_SetString(PyExc_TypeError, "call_n(n, *args): n is missing");
    return nullptr;
  }
  const long long n = PyLong_AsLongLong(args[0]);
  if (n == -1 && PyErr_Occurred() != nullptr) {
    return nullptr;
  }
  if (n < 1) {
    PyErr_Format(PyExc_ValueError, "call_n: n must be at least 1, got %lld", n);
    return nullptr;
  }
  Matched matched(args + 1, static_cast<std::size_t>(count - 1));
  PyObject *result = try_entries(self, matched.given(), n);
  if (result != nullptr || PyErr_Occurred() != nullptr) {
    return result;
  }
  if (!matched.resolve(self)) {
    return nullptr;
  }
  return or_no_entry(try_entries(self, matched.given(), n));
}

PyObject *call_matching(PyObject *object, PyObject *const *args, Py_ssize_t count) noexcept {
  return or_no_entry(try_entries(self_of(object), {args, static_cast<std::size_t>(count)}));
}

/* A Prepared of the first entry that matches; null without a Python error when none does. */
PyObject *bind_matching(CallableObject *self, const Given &given, PyObject *out) {
  Inputs inputs(given);
  for (std::size_t i = 0; i < self->entries->size(); ++i) {
    if (!inputs.have((*self->entries)[i].arguments)) {
      continue;
    }
    const Entry &entry = (*self->entries)[i];
    Request request;
    inputs.put(entry.arguments, request);
    Arguments arguments(entry.compiled->vm);
    if (!entry.compiled->matches(request.args, request.count, arguments)) {
      continue;
    }
    Ref tuple;
    Ref unused;
    if (!pack(request.args, static_cast<Py_ssize_t>(request.count), nullptr, tuple, unused)) {
      return nullptr;
    }
    return prepare(entry.executable.get(), {entry.structure, entry.results.get()}, tuple.get(),
                   out);
  }
  return nullptr;
}

PyObject *bind_arguments(CallableObject *self, Matched &matched, PyObject *out) {
  PyObject *made = bind_matching(self, matched.given(), out);
  if (made != nullptr || PyErr_Occurred() != nullptr) {
    return made;
  }
  return matched.resolve(self) ? or_no_entry(bind_matching(self, matched.given(), out)) : nullptr;
}

PyObject *bind(PyObject *object, PyObject *args, PyObject *kwargs) noexcept {
  return guarded([&]() -> PyObject * {
    PyObject *out = kwargs == nullptr ? nullptr : PyDict_GetItemString(kwargs, "out");
    const Py_ssize_t named = kwargs == nullptr ? 0 : PyDict_Size(kwargs);
    if (named != (out == nullptr ? 0 : 1)) {
      PyErr_SetString(PyExc_TypeError, "bind(*args, out=None) takes no other keyword");
      return nullptr;
    }
    Matched matched(&PyTuple_GET_ITEM(args, 0), static_cast<std::size_t>(PyTuple_GET_SIZE(args)));
    return bind_arguments(self_of(object), matched, out == Py_None ? nullptr : out);
  });
}

PyObject *add_entry(PyObject *object, PyObject *args, PyObject *kwargs) noexcept {
  static const char *const names[] = {"executable", "results", "first", "arguments", nullptr};
  PyObject *executable = nullptr;
  PyObject *results = nullptr;
  int first = 1;
  PyObject *arguments = Py_None;
  if (PyArg_ParseTupleAndKeywords(args, kwargs, "OO|pO", const_cast<char **>(names), &executable,
                                  &results, &first, &arguments) == 0) {
    return nullptr;
  }
  Compiled *compiled = compiled_of(executable);
  if (compiled == nullptr) {
    return nullptr;
  }
  return guarded([&]() -> PyObject * {
    Entry entry(executable, *compiled);
    entry.set_results(results);
    if (arguments != Py_None) {
      entry.set_arguments(arguments);
    }
    std::vector<Entry> &entries = *self_of(object)->entries;
    entries.insert(first != 0 ? entries.begin() : entries.end(), std::move(entry));
    Py_RETURN_NONE;
  });
}

PyObject *remove_entry(PyObject *object, PyObject *executable) noexcept {
  std::vector<Entry> &entries = *self_of(object)->entries;
  for (auto it = entries.begin(); it != entries.end(); ++it) {
    if (it->executable.get() == executable) {
      const Entry removed = std::move(*it);
      entries.erase(it);
      Py_RETURN_NONE;
    }
  }
  return no_entry();
}

PyObject *clear_entries(PyObject *object, PyObject *) noexcept {
  std::vector<Entry> removed;
  removed.swap(*self_of(object)->entries);
  Py_RETURN_NONE;
}

PyObject *release_memory(PyObject *object, PyObject *) noexcept {
  for (const Entry &entry : *self_of(object)->entries) {
    entry.compiled->vm.release_memory();
  }
  result_blocks().trim();
  Py_RETURN_NONE;
}

PyObject *last_stats(PyObject *object, PyObject *) noexcept {
  PyObject *last = self_of(object)->last;
  if (last == nullptr) {
    Py_RETURN_NONE;
  }
  return PyObject_GetAttrString(last, "last_stats");
}

PyObject *get_entries(PyObject *object, void *) noexcept {
  const std::vector<Entry> &entries = *self_of(object)->entries;
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(entries.size())));
  for (std::size_t i = 0; tuple && i < entries.size(); ++i) {
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i),
                     Py_NewRef(entries[i].executable.get()));
  }
  return tuple.release();
}

/* Heap types do not inherit the vectorcall flag before Python 3.12; without it a call of a subclass
   goes through tp_call and packs its arguments. */
PyObject *init_subclass(PyObject *type, PyObject *args, PyObject *kwargs) noexcept {
  auto *subclass = reinterpret_cast<PyTypeObject *>(type);
  const Ref parent(PyObject_CallFunction(reinterpret_cast<PyObject *>(&PySuper_Type), "OO",
                                         reinterpret_cast<PyObject *>(subclass->tp_base), type));
  const Ref hook(parent ? PyObject_GetAttrString(reinterpret_cast<PyObject *>(&PyBaseObject_Type),
                                                 "__init_subclass__")
                        : nullptr);
  const Ref done(hook ? PyObject_Call(hook.get(), args, kwargs) : nullptr);
  if (!done) {
    return nullptr;
  }
  if (subclass->tp_call == PyVectorcall_Call) {
    subclass->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    PyType_Modified(subclass);
  }
  Py_RETURN_NONE;
}

PyObject *create(PyTypeObject *type, PyObject *, PyObject *) noexcept {
  PyObject *object = type->tp_alloc(type, 0);
  if (object == nullptr) {
    return nullptr;
  }
  CallableObject *self = self_of(object);
  self->vectorcall = vectorcall;
  self->entries = new (std::nothrow) std::vector<Entry>;
  if (self->entries == nullptr) {
    Py_DECREF(object);
    return PyErr_NoMemory();
  }
  return object;
}

int initialise(PyObject *object, PyObject *args, PyObject *kwargs) noexcept {
  static const char *const names[] = {"miss", "resolve", nullptr};
  PyObject *miss = Py_None;
  PyObject *resolve = Py_None;
  if (PyArg_ParseTupleAndKeywords(args, kwargs, "|OO", const_cast<char **>(names), &miss,
                                  &resolve) == 0) {
    return -1;
  }
  CallableObject *self = self_of(object);
  Py_XSETREF(self->miss, miss == Py_None ? nullptr : Py_NewRef(miss));
  Py_XSETREF(self->resolve, resolve == Py_None ? nullptr : Py_NewRef(resolve));
  return 0;
}

int traverse(PyObject *object, visitproc visit, void *arg) noexcept {
  CallableObject *self = self_of(object);
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->miss);
  Py_VISIT(self->resolve);
  Py_VISIT(self->last);
  if (self->entries != nullptr) {
    for (const Entry &entry : *self->entries) {
      Py_VISIT(entry.executable.get());
      Py_VISIT(entry.arguments.get());
      Py_VISIT(entry.results.get());
    }
  }
  return 0;
}

int clear(PyObject *object) noexcept {
  CallableObject *self = self_of(object);
  Py_CLEAR(self->miss);
  Py_CLEAR(self->resolve);
  Py_CLEAR(self->last);
  if (self->entries != nullptr) {
    std::vector<Entry> removed;
    removed.swap(*self->entries);
  }
  return 0;
}

void destroy(PyObject *object) noexcept {
  PyTypeObject *type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  if (self_of(object)->weak_references != nullptr) {
    PyObject_ClearWeakRefs(object);
  }
  clear(object);
  delete self_of(object)->entries;
  type->tp_free(object);
  Py_DECREF(type);
}

template <class Function> PyCFunction method(Function function) noexcept {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef methods[] = {
    {"add_entry", method(add_entry), METH_VARARGS | METH_KEYWORDS,
     "add_entry(executable, results, first=True, arguments=None): results are 0 a single array, 1 "
     "a "
     "tuple, 2 nothing, or a Tree; arguments are the inputs, or a Tree of them."},
    {"remove_entry", remove_entry, METH_O, "remove_entry(executable); LookupError when absent."},
    {"clear_entries", clear_entries, METH_NOARGS, "Remove every entry."},
    {"call_matching", method(call_matching), METH_FASTCALL,
     "call_matching(*args): run the entry that matches; LookupError when none does."},
    {"call_n", method(call_n), METH_FASTCALL, "call_n(n, *args): n calls, result of the last."},
    {"bind", method(bind), METH_VARARGS | METH_KEYWORDS,
     "bind(*args, out=None): a prepared call without arguments."},
    {"last_stats", last_stats, METH_NOARGS, "Counts of the last call, or None."},
    {"release_memory", release_memory, METH_NOARGS, "Free arenas and kept result blocks."},
    {"__init_subclass__", method(init_subclass), METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "Keeps calls of subclasses fast."},
    {nullptr, nullptr, 0, nullptr}};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(CallableObject, vectorcall), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(CallableObject, weak_references), READONLY,
     nullptr},
    {"trust_input", T_BOOL, offsetof(CallableObject, trust_input), 0,
     "Whether the miss path may convert."},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef properties[] = {{"entries", get_entries, nullptr,
                             "The executables, in the order in which they are tried.", nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_doc, const_cast<char *>("Callable(miss=None, resolve=None): a compiled function.")},
    {Py_tp_new, reinterpret_cast<void *>(create)},
    {Py_tp_init, reinterpret_cast<void *>(initialise)},
    {Py_tp_dealloc, reinterpret_cast<void *>(destroy)},
    {Py_tp_traverse, reinterpret_cast<void *>(traverse)},
    {Py_tp_clear, reinterpret_cast<void *>(clear)},
    {Py_tp_call, reinterpret_cast<void *>(PyVectorcall_Call)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, properties},
    {0, nullptr}};

PyType_Spec specification = {"symc._runtime.Callable", static_cast<int>(sizeof(CallableObject)), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC |
                                 Py_TPFLAGS_HAVE_VECTORCALL,
                             slots};

} // namespace

bool add_callable_types(PyObject *module) noexcept {
  const Ref type(PyType_FromSpec(&specification));
  PyTypeObject *prepared = make_prepared_type();
  PyTypeObject *tree = make_tree_type();
  return type && prepared != nullptr && tree != nullptr &&
         PyModule_AddObjectRef(module, "Tree", reinterpret_cast<PyObject *>(tree)) == 0 &&
         PyModule_AddObjectRef(module, "Callable", type.get()) == 0 &&
         PyModule_AddObjectRef(module, "Prepared", reinterpret_cast<PyObject *>(prepared)) == 0;
}

} // namespace symc::python
