/* The door: the module symc._runtime.  The one file that includes nanobind; what is on the call
   path is written against the C API (cpp/python). */
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "../python/arrays.h"
#include "../python/callable.h"
#include "../python/compiled.h"
#include "../python/dtypes.h"
#include "../python/raise.h"
#include "../python/states.h"

namespace nb = nanobind;

namespace symc::python {

Compiled *compiled_of(PyObject *executable) noexcept {
  if (!nb::isinstance<Compiled>(nb::handle(executable))) {
    PyErr_SetString(PyExc_TypeError, "expected a symc._runtime.Executable");
    return nullptr;
  }
  return nb::inst_ptr<Compiled>(nb::handle(executable));
}

namespace {

std::span<const std::byte> bytes_of(const nb::bytes &data) {
  return {static_cast<const std::byte *>(data.data()), data.size()};
}

nb::object owned(PyObject *object) { return nb::steal<nb::object>(object); }

/* Lets the body throw the core's errors, which become Python errors. */
template <class Body> auto checked(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const PythonError &) {
    throw nb::python_error();
  } catch (const Error &error) {
    set_error(error);
    throw nb::python_error();
  }
}

void make_compiled(Compiled *self, const nb::bytes &program, const nb::bytes &object,
                   const std::vector<Shared *> &states, const nb::tuple &locations) {
  checked([&] {
    Executable::States list;
    for (const Shared *shared : states) {
      list.push_back(shared == nullptr ? nullptr : shared->state);
    }
    new (self) Compiled(bytes_of(program), bytes_of(object), std::move(list), locations.ptr());
  });
}

nb::dict stats_of(const Compiled &c) {
  nb::dict stats;
  stats["allocations"] = c.last.allocations;
  stats["kernels"] = c.last.kernels;
  stats["blocks"] = c.last.blocks;
  stats["threads"] = c.last.threads;
  return stats;
}

void add_state(nb::module_ &m) {
  nb::class_<Shared>(m, "State", nb::is_weak_referenceable(),
                     "A shared variable: a copy of `value`, read and updated by executables.")
      .def(
          "__init__",
          [](Shared *self, nb::object value, std::string name, bool resizable) {
            checked([&] { new (self) Shared(value.ptr(), std::move(name), resizable); });
          },
          nb::arg("value"), nb::arg("name") = "", nb::arg("resizable") = false,
          nb::sig("def __init__(self, value: numpy.ndarray, name: str = '', "
                  "resizable: bool = False) -> None"))
      .def(
          "get",
          [](Shared &self, bool copy) { return checked([&] { return owned(self.get(copy)); }); },
          nb::arg("copy") = true, nb::sig("def get(self, copy: bool = True) -> numpy.ndarray"),
          "The contents as an ndarray; copy=False: a read-only view of the current buffer.")
      .def(
          "set", [](Shared &self, nb::object value) { checked([&] { self.set(value.ptr()); }); },
          nb::arg("value"), nb::sig("def set(self, value: numpy.ndarray) -> None"),
          "Replace the contents: same dtype, and same shape unless resizable.")
      .def_prop_ro("name", [](const Shared &self) { return self.state->name(); })
      .def_prop_ro(
          "dtype", [](const Shared &self) { return checked([&] { return owned(self.dtype()); }); },
          nb::sig("def dtype(self) -> numpy.dtype"))
      .def_prop_ro(
          "shape", [](const Shared &self) { return checked([&] { return owned(self.shape()); }); },
          nb::sig("def shape(self) -> tuple[int, ...]"));
}

void add_executable(nb::module_ &m) {
  nb::class_<Compiled>(m, "Executable", nb::is_weak_referenceable(),
                       "A verified program with its mapped object code and shared variables.")
      .def("__init__", make_compiled, nb::arg("program"), nb::arg("object"),
           nb::arg("states") = std::vector<Shared *>(), nb::arg("locations") = nb::tuple(),
           nb::sig("def __init__(self, program: bytes, object: bytes, "
                   "states: collections.abc.Sequence[State] = ..., "
                   "locations: tuple[str, ...] = ...) -> None"))
      .def_prop_rw(
          "threads", [](const Compiled &c) { return c.vm.threads; },
          [](Compiled &c, unsigned threads) { c.vm.threads = threads; },
          "Most threads that a call may use; 0: all that the process may use.")
      .def_prop_ro("last_stats", stats_of, nb::sig("def last_stats(self) -> dict[str, int]"),
                   "Counts of the last call that ended well.")
      .def(
          "release_memory", [](Compiled &c) { c.vm.release_memory(); },
          "Free the arenas that are not in use.");
}

} // namespace

} // namespace symc::python

NB_MODULE(_runtime, m) {
  if (!symc::python::import_numpy()) {
    throw nb::python_error();
  }
#if defined(NDEBUG)
  nb::set_leak_warnings(false); /* a daemon thread that is alive at exit keeps what it uses */
#endif
  m.doc() = "The native runtime of symc.";
  m.attr("ABI_VERSION") = SYMC_ABI_VERSION;
  symc::python::add_state(m);
  symc::python::add_executable(m);
  if (!symc::python::add_callable_types(m.ptr())) {
    throw nb::python_error();
  }
  m.def("usable_cpus", &symc::usable_cpus, "CPUs that this process may use.");
  m.def(
      "kept_bytes", [] { return symc::python::result_blocks().kept(); },
      "Bytes of result blocks that are kept for reuse.");
}
