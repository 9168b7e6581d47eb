/* Reading and writing shared variables from Python. */
#ifndef SYMC_STATES_H
#define SYMC_STATES_H

#include <memory>

#include "numpy_api.h"
#include "state.h"

namespace symc::python {

/* A shared variable as Python sees it. */
class Shared {
public:
  /* Copies `value`, an ndarray of a dtype that symc has.  Throws Error, PythonError. */
  Shared(PyObject *value, std::string name, bool resizable);

  /* A copy of the contents; or a read-only view, which keeps its memory alive: it shows later
     updates done in place, not those that replace the buffer. */
  [[nodiscard]] PyObject *get(bool copy);
  /* New contents: same dtype and rank, and same sizes unless resizable. */
  void set(PyObject *value);
  [[nodiscard]] PyObject *dtype() const;
  [[nodiscard]] PyObject *shape() const;

  std::shared_ptr<State> state;

private:
  bool resizable_;
};

} // namespace symc::python

#endif
