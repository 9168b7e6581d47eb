/* Entries of a Callable. */
#include "entry.h"

#include "raise.h"

namespace symc::python {
namespace {

const Tree &tree_or_throw(PyObject *object) {
  const Tree *tree = tree_of(object);
  if (tree == nullptr) {
    throw PythonError{};
  }
  return *tree;
}

} // namespace

void Entry::set_results(PyObject *given) {
  const std::size_t count = compiled->outputs.size();
  bool fits = true;
  if (PyLong_Check(given)) {
    const long number = PyLong_AsLong(given);
    fits = number >= 0 && number <= static_cast<long>(Structure::None) &&
           (number != static_cast<long>(Structure::Single) || count == 1);
    structure = fits ? static_cast<Structure>(number) : Structure::None;
  } else {
    fits = tree_or_throw(given).leaves() == count;
    results = Ref::borrow(given);
  }
  if (!fits) {
    throw Error(ErrorKind::Value, "structure of results does not fit the executable's outputs");
  }
}

void Entry::set_arguments(PyObject *given) {
  const Tree &tree = tree_or_throw(given);
  if (!tree.takes_calls() || tree.leaves() != compiled->inputs.size()) {
    throw Error(ErrorKind::Value, "structure of arguments does not fit the executable's inputs");
  }
  arguments = Ref::borrow(given);
}

bool Inputs::gathered(const Ref &arguments) {
  if (tree_.get() != arguments.get()) {
    tree_ = Ref::borrow(arguments.get());
    const Tree *tree = tree_of(tree_.get());
    leaves_.emplace(tree->leaves());
    found_ = tree->gather(given_, *leaves_);
  }
  return found_;
}

} // namespace symc::python
