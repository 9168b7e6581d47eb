/* The structure of nested containers: arguments are recognised in it and give their leaves in one
   walk, results are built in it. */
#ifndef SYMC_TREE_H
#define SYMC_TREE_H

#include <algorithm>
#include <cstdint>
#include <vector>

#include "compiled.h"

namespace symc::python {

/* Leaves that are kept alive during a call: other threads may change the containers meanwhile. */
class Leaves {
public:
  explicit Leaves(std::size_t count) : items_(count) { std::ranges::fill(items_.span(), nullptr); }
  ~Leaves() {
    for (PyObject *item : items_.span()) {
      Py_XDECREF(item);
    }
  }
  Leaves(const Leaves &) = delete;
  Leaves &operator=(const Leaves &) = delete;

  void set(std::size_t i, PyObject *leaf) noexcept {
    PyObject *before = std::exchange(items_[i], Py_NewRef(leaf));
    Py_XDECREF(before);
  }
  [[nodiscard]] PyObject *const *data() noexcept { return items_.data(); }
  /* As a tuple, once all are set; null with a Python error. */
  [[nodiscard]] Ref tuple() noexcept {
    Ref made(PyTuple_New(static_cast<Py_ssize_t>(items_.size())));
    for (std::size_t i = 0; made && i < items_.size(); ++i) {
      PyTuple_SET_ITEM(made.get(), static_cast<Py_ssize_t>(i), Py_NewRef(items_[i]));
    }
    return made;
  }
  [[nodiscard]] std::size_t count() const noexcept { return items_.size(); }

private:
  Small<PyObject *, 16> items_;
};

/* Arguments as a vectorcall gives them. */
struct Given {
  PyObject *const *args;
  std::size_t count;
  PyObject *names = nullptr; /* tuple of keywords, whose values follow the positional ones */
};

/* Immutable.  Nodes stand in preorder; the numbers of the leaves are those of a program's inputs or
   results. */
class Tree {
public:
  enum class Kind : std::uint8_t { Leaf, None, Tuple, List, Dict, Record, Custom, Static };
  static constexpr std::uint32_t kinds = 8;

  struct Node {
    Kind kind;
    std::uint32_t count; /* children; of a leaf, its number */
    /* Dict: the keys as a tuple.  Record: the type, called with the children.  Custom: type,
       function to (children, metadata, ...), function from (metadata, children), metadata.  Static:
       the value. */
    std::vector<Ref> objects;
    Py_hash_t hash = 0; /* Static */
  };

  /* Throws Error for nodes that form no tree. */
  explicit Tree(std::vector<Node> nodes);

  [[nodiscard]] const std::vector<Node> &nodes() const noexcept { return nodes_; }
  [[nodiscard]] std::size_t leaves() const noexcept { return leaves_; }
  /* Whether it is that of arguments: a tuple of positional ones and a dict of the rest. */
  [[nodiscard]] bool takes_calls() const noexcept;

  /* Fills `leaves` from what has this structure.  False when it has not; throws PythonError. */
  [[nodiscard]] bool gather(PyObject *object, Leaves &leaves) const;
  [[nodiscard]] bool gather(const Given &given, Leaves &leaves) const;
  /* A new reference to containers of these leaves.  Throws PythonError. */
  [[nodiscard]] PyObject *build(PyObject *const *leaves) const;

private:
  std::vector<Node> nodes_;
  std::size_t leaves_ = 0;
};

/* The Tree behind a Python Tree; null with TypeError set. */
[[nodiscard]] const Tree *tree_of(PyObject *object) noexcept;

/* The type object of Tree; null with a Python error. */
[[nodiscard]] PyTypeObject *make_tree_type() noexcept;

} // namespace symc::python

#endif
