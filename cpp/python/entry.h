/* One way to serve a call: an executable, the structure of its arguments and that of its results.
 */
#ifndef SYMC_ENTRY_H
#define SYMC_ENTRY_H

#include <optional>

#include "call.h"

namespace symc::python {

struct Entry {
  Entry(PyObject *object, Compiled &behind) : executable(Ref::borrow(object)), compiled(&behind) {}

  /* A number of Structure, or a Tree.  Throws Error, PythonError. */
  void set_results(PyObject *given);
  /* A Tree of `(args, kwargs)`. */
  void set_arguments(PyObject *given);

  Ref executable;
  Compiled *compiled;
  Structure structure = Structure::Nested;
  Ref arguments; /* Tree of the arguments; null: each is an input */
  Ref results;   /* Tree of Nested results, or null */
};

/* The inputs in given arguments, gathered once for the entries whose arguments share a tree. */
class Inputs {
public:
  explicit Inputs(const Given &given) : given_(given) {}

  /* Whether the arguments have an entry's structure; throws PythonError. */
  [[nodiscard]] bool have(const Ref &arguments) {
    return arguments ? gathered(arguments) : given_.names == nullptr;
  }

  /* What `have` found. */
  void put(const Ref &arguments, Request &request) {
    request.args = arguments ? leaves_->data() : given_.args;
    request.count = arguments ? leaves_->count() : given_.count;
  }

private:
  [[nodiscard]] bool gathered(const Ref &arguments);

  Given given_;
  Ref tree_;
  std::optional<Leaves> leaves_;
  bool found_ = false;
};

} // namespace symc::python

#endif
