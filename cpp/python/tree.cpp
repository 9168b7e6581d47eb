/* Walks over trees.  Equality of keys, static values and metadata, and the functions of registered
   containers, may run any Python code: what a walk stands on is kept alive, and sizes are read
   again after each child. */
#include "tree.h"

#include <algorithm>
#include <new>
#include <optional>

#include "callable.h"
#include "raise.h"

namespace symc::python {
namespace {

constexpr std::size_t deepest = 200;

bool holds(int outcome) {
  if (outcome < 0) {
    throw PythonError{};
  }
  return outcome != 0;
}

PyObject *made(PyObject *object) {
  if (object == nullptr) {
    throw PythonError{};
  }
  return object;
}

/* Counts and depth of what follows in preorder; recursion ends at `deepest`. */
class Check {
public:
  explicit Check(const std::vector<Tree::Node> &nodes) : nodes_(nodes) {}

  void all() {
    node(0);
    require(at_ == nodes_.size(), "nodes are left over");
    std::ranges::sort(numbers_);
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      require(numbers_[i] == i, "leaves are not numbered from 0");
    }
  }
  [[nodiscard]] std::size_t leaves() const noexcept { return numbers_.size(); }

private:
  static void require(bool holds, const char *otherwise) {
    if (!holds) {
      throw Error(ErrorKind::Value, std::string("tree: ") + otherwise);
    }
  }

  void node(std::size_t depth) {
    require(depth < deepest, "too deep");
    require(at_ < nodes_.size(), "a node is missing");
    const Tree::Node &found = nodes_[at_++];
    objects(found);
    if (found.kind == Tree::Kind::Leaf) {
      numbers_.push_back(found.count);
      return;
    }
    for (std::uint32_t i = 0; i < found.count; ++i) {
      node(depth + 1);
    }
  }

  static void objects(const Tree::Node &found) {
    const auto given = [&](std::size_t wanted) {
      require(found.objects.size() == wanted, "a node has the wrong objects");
    };
    switch (found.kind) {
    case Tree::Kind::Leaf:
    case Tree::Kind::Tuple:
    case Tree::Kind::List:
      return given(0);
    case Tree::Kind::None:
      return require(found.count == 0 && found.objects.empty(), "None has children");
    case Tree::Kind::Dict:
      given(1);
      return require(PyTuple_Check(found.objects[0].get()) != 0 &&
                         PyTuple_GET_SIZE(found.objects[0].get()) == found.count,
                     "a dict has one child per key");
    case Tree::Kind::Record:
      given(1);
      return require(PyType_Check(found.objects[0].get()) != 0 &&
                         PyType_IsSubtype(reinterpret_cast<PyTypeObject *>(found.objects[0].get()),
                                          &PyTuple_Type) != 0,
                     "a record is a tuple");
    case Tree::Kind::Custom:
      given(4);
      return require(PyType_Check(found.objects[0].get()) != 0, "a container has a type");
    case Tree::Kind::Static:
      given(1);
      return require(found.count == 0, "a static value has children");
    }
  }

  const std::vector<Tree::Node> &nodes_;
  std::size_t at_ = 0;
  std::vector<std::size_t> numbers_;
};

/* One walk over arguments. */
class Gather {
public:
  Gather(const std::vector<Tree::Node> &nodes, Leaves &leaves) : nodes_(nodes), leaves_(leaves) {}

  bool call(const Given &given) {
    const Tree::Node &positional = nodes_[1];
    const std::size_t named =
        given.names == nullptr ? 0 : static_cast<std::size_t>(PyTuple_GET_SIZE(given.names));
    if (positional.count != given.count) {
      return false;
    }
    at_ = 2;
    for (std::size_t i = 0; i < given.count; ++i) {
      if (!node(given.args[i])) {
        return false;
      }
    }
    const Tree::Node &keywords = nodes_[at_++];
    return keywords.count == named && (named == 0 || by_name(keywords, given));
  }

  bool node(PyObject *object) {
    const Tree::Node &wanted = nodes_[at_++];
    switch (wanted.kind) {
    case Tree::Kind::Leaf:
      leaves_.set(wanted.count, object);
      return true;
    case Tree::Kind::None:
      return object == Py_None;
    case Tree::Kind::Tuple:
      return Py_IS_TYPE(object, &PyTuple_Type) && tuple(object, wanted);
    case Tree::Kind::Record:
      return of_type(object, wanted) && tuple(object, wanted);
    case Tree::Kind::List:
      return PyList_CheckExact(object) && list(object, wanted);
    case Tree::Kind::Dict:
      return PyDict_CheckExact(object) && dict(object, wanted);
    case Tree::Kind::Custom:
      return of_type(object, wanted) && custom(object, wanted);
    case Tree::Kind::Static:
      return same(object, wanted);
    }
    return false;
  }

private:
  static bool of_type(PyObject *object, const Tree::Node &wanted) {
    return Py_IS_TYPE(object, reinterpret_cast<PyTypeObject *>(wanted.objects[0].get()));
  }

  bool tuple(PyObject *object, const Tree::Node &wanted) {
    if (PyTuple_GET_SIZE(object) != wanted.count) {
      return false;
    }
    for (Py_ssize_t i = 0; i < wanted.count; ++i) {
      if (!node(PyTuple_GET_ITEM(object, i))) {
        return false;
      }
    }
    return true;
  }

  bool list(PyObject *object, const Tree::Node &wanted) {
    for (Py_ssize_t i = 0; i < wanted.count; ++i) {
      if (PyList_GET_SIZE(object) != wanted.count || !child(PyList_GET_ITEM(object, i))) {
        return false;
      }
    }
    return PyList_GET_SIZE(object) == wanted.count;
  }

  bool dict(PyObject *object, const Tree::Node &wanted) {
    PyObject *keys = wanted.objects[0].get();
    for (Py_ssize_t i = 0; i < wanted.count; ++i) {
      PyObject *value = PyDict_GetItemWithError(object, PyTuple_GET_ITEM(keys, i));
      if (value == nullptr) {
        return holds(PyErr_Occurred() == nullptr ? 0 : -1);
      }
      if (!child(value)) {
        return false;
      }
    }
    return PyDict_GET_SIZE(object) == wanted.count;
  }

  /* What only a container that may change refers to. */
  bool child(PyObject *borrowed) {
    if (nodes_[at_].kind == Tree::Kind::Leaf) {
      return node(borrowed);
    }
    const Ref kept = Ref::borrow(borrowed);
    return node(kept.get());
  }

  bool custom(PyObject *object, const Tree::Node &wanted) {
    const Ref parts(made(PyObject_CallOneArg(wanted.objects[1].get(), object)));
    const Ref listed(made(PySequence_Tuple(parts.get())));
    if (PyTuple_GET_SIZE(listed.get()) < 2) {
      return false;
    }
    const Ref children(made(PySequence_Tuple(PyTuple_GET_ITEM(listed.get(), 0))));
    PyObject *metadata = PyTuple_GET_ITEM(listed.get(), 1);
    return holds(PyObject_RichCompareBool(metadata, wanted.objects[3].get(), Py_EQ)) &&
           tuple(children.get(), wanted);
  }

  /* Type, hash and equality, as for a key of a dict; what has no hash is refused elsewhere. */
  static bool same(PyObject *object, const Tree::Node &wanted) {
    PyObject *value = wanted.objects[0].get();
    if (Py_TYPE(object) != Py_TYPE(value)) {
      return false;
    }
    const Py_hash_t hash = PyObject_Hash(object);
    if (hash == -1) {
      PyErr_Clear();
      return false;
    }
    return hash == wanted.hash &&
           (object == value || holds(PyObject_RichCompareBool(object, value, Py_EQ)));
  }

  bool by_name(const Tree::Node &keywords, const Given &given) {
    PyObject *keys = keywords.objects[0].get();
    for (Py_ssize_t i = 0; i < keywords.count; ++i) {
      PyObject *value = named(PyTuple_GET_ITEM(keys, i), given);
      if (value == nullptr || !node(value)) {
        return false;
      }
    }
    return true;
  }

  static PyObject *named(PyObject *key, const Given &given) {
    const Py_ssize_t count = PyTuple_GET_SIZE(given.names);
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (PyTuple_GET_ITEM(given.names, i) == key) {
        return given.args[given.count + static_cast<std::size_t>(i)];
      }
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (holds(PyObject_RichCompareBool(PyTuple_GET_ITEM(given.names, i), key, Py_EQ))) {
        return given.args[given.count + static_cast<std::size_t>(i)];
      }
    }
    return nullptr;
  }

  const std::vector<Tree::Node> &nodes_;
  Leaves &leaves_;
  std::size_t at_ = 0;
};

/* One walk that makes containers. */
class Build {
public:
  Build(const std::vector<Tree::Node> &nodes, PyObject *const *leaves)
      : nodes_(nodes), leaves_(leaves) {}

  Ref node() {
    const Tree::Node &wanted = nodes_[at_++];
    switch (wanted.kind) {
    case Tree::Kind::Leaf:
      return Ref::borrow(leaves_[wanted.count]);
    case Tree::Kind::None:
      return Ref::borrow(Py_None);
    case Tree::Kind::Tuple:
      return tuple(wanted);
    case Tree::Kind::List:
      return list(wanted);
    case Tree::Kind::Dict:
      return dict(wanted);
    case Tree::Kind::Record:
      return Ref(made(PyObject_CallObject(wanted.objects[0].get(), tuple(wanted).get())));
    case Tree::Kind::Custom:
      return Ref(made(PyObject_CallFunctionObjArgs(wanted.objects[2].get(), wanted.objects[3].get(),
                                                   tuple(wanted).get(), nullptr)));
    case Tree::Kind::Static:
      return Ref::borrow(wanted.objects[0].get());
    }
    return {};
  }

private:
  Ref tuple(const Tree::Node &wanted) {
    Ref tuple(made(PyTuple_New(wanted.count)));
    for (Py_ssize_t i = 0; i < wanted.count; ++i) {
      PyTuple_SET_ITEM(tuple.get(), i, node().release());
    }
    return tuple;
  }

  Ref list(const Tree::Node &wanted) {
    Ref list(made(PyList_New(wanted.count)));
    for (Py_ssize_t i = 0; i < wanted.count; ++i) {
      PyList_SET_ITEM(list.get(), i, node().release());
    }
    return list;
  }

  Ref dict(const Tree::Node &wanted) {
    Ref dict(made(PyDict_New()));
    PyObject *keys = wanted.objects[0].get();
    for (Py_ssize_t i = 0; i < wanted.count; ++i) {
      const Ref value = node();
      if (PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(keys, i), value.get()) < 0) {
        throw PythonError{};
      }
    }
    return dict;
  }

  const std::vector<Tree::Node> &nodes_;
  PyObject *const *leaves_;
  std::size_t at_ = 0;
};

} // namespace

Tree::Tree(std::vector<Node> nodes) : nodes_(std::move(nodes)) {
  Check check(nodes_);
  check.all();
  leaves_ = check.leaves();
}

bool Tree::takes_calls() const noexcept {
  if (nodes_[0].kind != Kind::Tuple || nodes_[0].count != 2 || nodes_[1].kind != Kind::Tuple) {
    return false;
  }
  std::size_t at = 2;
  for (std::size_t left = nodes_[1].count; left > 0; --left, ++at) {
    left += nodes_[at].kind == Kind::Leaf ? 0 : nodes_[at].count;
  }
  return nodes_[at].kind == Kind::Dict;
}

bool Tree::gather(PyObject *object, Leaves &leaves) const {
  return Gather(nodes_, leaves).node(object);
}

bool Tree::gather(const Given &given, Leaves &leaves) const {
  return Gather(nodes_, leaves).call(given);
}

PyObject *Tree::build(PyObject *const *leaves) const {
  return Build(nodes_, leaves).node().release();
}

namespace {

struct TreeObject {
  PyObject_HEAD
  std::optional<Tree> tree;
};

TreeObject *self_of(PyObject *object) noexcept { return reinterpret_cast<TreeObject *>(object); }

Tree::Node node_of(PyObject *row) {
  if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) < 2) {
    throw Error(ErrorKind::Value, "tree: a node is a tuple (kind, count, ...)");
  }
  const std::size_t kind = PyLong_AsSize_t(PyTuple_GET_ITEM(row, 0));
  const std::size_t count = PyLong_AsSize_t(PyTuple_GET_ITEM(row, 1));
  if (PyErr_Occurred() != nullptr) {
    throw PythonError{};
  }
  if (kind >= Tree::kinds || count > std::size_t{1} << 24) {
    throw Error(ErrorKind::Value, "tree: unknown kind or count");
  }
  Tree::Node node{static_cast<Tree::Kind>(kind), static_cast<std::uint32_t>(count), {}};
  for (Py_ssize_t i = 2; i < PyTuple_GET_SIZE(row); ++i) {
    node.objects.push_back(Ref::borrow(PyTuple_GET_ITEM(row, i)));
  }
  if (node.kind == Tree::Kind::Static && !node.objects.empty()) {
    node.hash = PyObject_Hash(node.objects[0].get());
    holds(node.hash == -1 ? -1 : 0);
  }
  return node;
}

PyObject *create(PyTypeObject *type, PyObject *args, PyObject *kwargs) noexcept {
  static const char *const names[] = {"nodes", nullptr};
  PyObject *rows = nullptr;
  if (PyArg_ParseTupleAndKeywords(args, kwargs, "O", const_cast<char **>(names), &rows) == 0) {
    return nullptr;
  }
  return guarded([&]() -> PyObject * {
    const Ref listed(made(PySequence_Tuple(rows)));
    std::vector<Tree::Node> nodes;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(listed.get()); ++i) {
      nodes.push_back(node_of(PyTuple_GET_ITEM(listed.get(), i)));
    }
    Tree tree(std::move(nodes));
    PyObject *object = made(type->tp_alloc(type, 0));
    new (&self_of(object)->tree) std::optional<Tree>(std::move(tree));
    return object;
  });
}

/* Like a tuple it is immutable: cycles are broken where they were closed. */
int traverse(PyObject *object, visitproc visit, void *arg) noexcept {
  Py_VISIT(Py_TYPE(object));
  if (self_of(object)->tree) {
    for (const Tree::Node &node : self_of(object)->tree->nodes()) {
      for (const Ref &part : node.objects) {
        Py_VISIT(part.get());
      }
    }
  }
  return 0;
}

void destroy(PyObject *object) noexcept {
  PyTypeObject *type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  self_of(object)->tree.~optional();
  type->tp_free(object);
  Py_DECREF(type);
}

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char *>("Tree(nodes): the structure of nested containers, in preorder.")},
    {Py_tp_new, reinterpret_cast<void *>(create)},
    {Py_tp_dealloc, reinterpret_cast<void *>(destroy)},
    {Py_tp_traverse, reinterpret_cast<void *>(traverse)},
    {0, nullptr}};

PyType_Spec specification = {"symc._runtime.Tree", static_cast<int>(sizeof(TreeObject)), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, slots};

PyTypeObject *tree_type = nullptr;

} // namespace

PyTypeObject *make_tree_type() noexcept {
  if (tree_type == nullptr) {
    tree_type = reinterpret_cast<PyTypeObject *>(PyType_FromSpec(&specification));
  }
  return tree_type;
}

const Tree *tree_of(PyObject *object) noexcept {
  if (!Py_IS_TYPE(object, tree_type)) {
    PyErr_SetString(PyExc_TypeError, "expected a symc._runtime.Tree");
    return nullptr;
  }
  return &*self_of(object)->tree;
}

} // namespace symc::python
