/* The call path.  What takes under about 3 us keeps the GIL; what takes over about a millisecond on
   the main thread polls for signals. */
#include "call.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "arrays.h"
#include "gil.h"
#include "raise.h"

namespace symc::python {
namespace {

constexpr std::int64_t worth_unlocking_ns = 3'000;
constexpr std::int64_t worth_polling_ns = 1'000'000;

/* A frame for the duration of a call. */
class FrameLease {
public:
  explicit FrameLease(Executable &vm) : vm_(vm), frame_(vm.acquire()) {}
  ~FrameLease() { vm_.release(frame_); }
  FrameLease(const FrameLease &) = delete;
  FrameLease &operator=(const FrameLease &) = delete;
  [[nodiscard]] Frame &get() const noexcept { return *frame_; }

private:
  Executable &vm_;
  Frame *frame_;
};

/* References to the results until they are handed out. */
class Results {
public:
  explicit Results(std::size_t count) : items_(count) { std::ranges::fill(items_.span(), nullptr); }
  ~Results() {
    for (PyObject *item : items_.span()) {
      Py_XDECREF(item);
    }
  }
  Results(const Results &) = delete;
  Results &operator=(const Results &) = delete;

  void set(std::size_t i, PyObject *owned) noexcept { items_[i] = owned; }

  [[nodiscard]] PyObject *hand_out(const Request &r) {
    switch (r.structure) {
    case Structure::Single:
      return std::exchange(items_[0], nullptr);
    case Structure::Tuple:
      return tuple();
    case Structure::Nested:
      return r.tree->build(items_.data());
    case Structure::None:
      break;
    }
    Py_RETURN_NONE;
  }

private:
  PyObject *tuple() {
    PyObject *made = PyTuple_New(static_cast<Py_ssize_t>(items_.size()));
    if (made == nullptr) {
      throw PythonError{};
    }
    for (std::size_t i = 0; i < items_.size(); ++i) {
      PyTuple_SET_ITEM(made, static_cast<Py_ssize_t>(i), std::exchange(items_[i], nullptr));
    }
    return made;
  }

  Small<PyObject *, 16> items_;
};

[[noreturn]] void refuse(std::size_t input, const Compiled &c, const char *why) {
  throw Error(ErrorKind::Value, "donated input " + c.vm.program().inputs[input].name + " " + why);
}

void check_donated(const Compiled &c, const Request &r) {
  if (r.repeat > 1) {
    throw Error(ErrorKind::Value, "call_n with n > 1 would use a donated input twice");
  }
  for (std::size_t i = 0; i < r.count; ++i) {
    if (!c.inputs[i].donated) {
      continue;
    }
    if (!Py_IS_TYPE(r.args[i], &PyArray_Type)) {
      refuse(i, c, "is not an array");
    }
    PyArrayObject *array = as_array(r.args[i]);
    if (!PyArray_ISWRITEABLE(array)) {
      refuse(i, c, "is read-only");
    }
    if (!owns_memory(array)) {
      refuse(i, c, "does not own its memory");
    }
    for (std::size_t j = 0; j < r.count; ++j) {
      const bool other = j != i && Py_IS_TYPE(r.args[j], &PyArray_Type);
      if (other &&
          (r.args[i] == r.args[j] || overlap(extent(array), extent(as_array(r.args[j]))))) {
        refuse(i, c, "shares memory with another argument");
      }
    }
  }
}

PyObject *result_array(const Compiled &c, const OutputRule &rule, const Frame &frame) {
  const Sizes &entries = c.vm.program().buffers[rule.buffer].shape;
  Small<npy_intp, 8> shape(entries.size());
  for (std::size_t axis = 0; axis < entries.size(); ++axis) {
    shape[axis] = frame.layout.sizes[entries[axis]];
  }
  return new_array(rule.descr, shape.span(), frame.layout.buffer_bytes[rule.buffer]);
}

/* Results whose shape the call found out. */
void make_late_results(const Compiled &c, const Frame &frame, Results &results) {
  for (std::size_t i = 0; i < c.outputs.size(); ++i) {
    const OutputRule &rule = c.outputs[i];
    if (!rule.late) {
      continue;
    }
    PyObject *array = result_array(c, rule, frame);
    results.set(i, array);
    const std::size_t bytes = frame.layout.buffer_bytes[rule.buffer];
    if (bytes != 0) {
      std::memcpy(PyArray_DATA(as_array(array)), frame.buffers[rule.buffer], bytes);
    }
  }
}

void make_results(Compiled &c, const Request &r, Frame &frame, Results &results) {
  for (std::size_t i = 0; i < c.outputs.size(); ++i) {
    const OutputRule &rule = c.outputs[i];
    if (rule.late) {
      continue;
    }
    if (rule.donated >= 0) {
      results.set(i, Py_NewRef(r.args[rule.donated]));
      continue;
    }
    PyObject *array = result_array(c, rule, frame);
    results.set(i, array);
    frame.buffers[rule.buffer] = PyArray_DATA(as_array(array));
  }
}

void use_outs(const Compiled &c, const Request &r, Frame &frame) {
  for (std::size_t i = 0; i < c.outputs.size(); ++i) {
    const std::uint32_t number = c.outputs[i].buffer;
    const Sizes &entries = c.vm.program().buffers[number].shape;
    PyArrayObject *out = as_array(r.outs[i]);
    const npy_intp *shape = PyArray_DIMS(out);
    bool same = static_cast<std::size_t>(PyArray_NDIM(out)) == entries.size();
    for (std::size_t axis = 0; same && axis < entries.size(); ++axis) {
      same = shape[axis] == frame.layout.sizes[entries[axis]];
    }
    if (!same) {
      throw Error(ErrorKind::Shape, "out has not the shape of result " + std::to_string(i));
    }
    frame.buffers[number] = PyArray_DATA(out);
  }
}

void run_locked(Compiled &c, Frame &frame, Poller &poller) {
  if (!c.states_match(frame.layout)) {
    throw Error(ErrorKind::Busy, "a shared variable changed its shape while the call waited");
  }
  c.vm.run(frame, poller);
}

/* Short: with the GIL held.  False: a lock is taken, wait without the GIL. */
bool run_short(Compiled &c, Frame &frame, std::int64_t repeat) {
  StateLocks locks(c.vm.uses());
  if (!locks.try_acquire()) {
    return false;
  }
  Poller idle;
  for (std::int64_t i = 0; i < repeat; ++i) {
    run_locked(c, frame, idle);
  }
  return true;
}

/* Each repetition is a call of its own: its locks, its commit. */
void run_long(Compiled &c, Frame &frame, std::int64_t repeat, std::int64_t expected) {
  Unlocked gil;
  Poller poller = expected >= worth_polling_ns ? gil.poller() : Poller();
  Poller idle;
  const bool polls_inside = frame.layout.loops || frame.layout.ns >= worth_polling_ns;
  const std::int64_t between =
      std::clamp(worth_polling_ns / std::max(frame.layout.ns, std::int64_t{1}), std::int64_t{1},
                 std::int64_t{1024});
  StateLocks locks(c.vm.uses());
  for (std::int64_t i = 0; i < repeat; ++i) {
    locks.acquire(poller);
    run_locked(c, frame, polls_inside ? poller : idle);
    locks.release();
    if (i % between == between - 1 && i + 1 < repeat && poller.stop()) {
      throw Error(ErrorKind::Interrupted, "interrupted");
    }
  }
}

void run(Compiled &c, Frame &frame, std::int64_t repeat) {
  std::int64_t expected = 0;
  if (frame.layout.loops ||
      __builtin_mul_overflow(std::max(frame.layout.ns, std::int64_t{50}), repeat, &expected)) {
    expected = std::numeric_limits<std::int64_t>::max();
  }
  if (expected >= worth_unlocking_ns || !run_short(c, frame, repeat)) {
    run_long(c, frame, repeat, expected);
  }
  c.last = frame.stats;
}

} // namespace

bool try_call(Compiled &c, const Request &r, PyObject *&result) {
  Arguments arguments(c.vm);
  if (!c.matches(r.args, r.count, arguments)) {
    return false;
  }
  const FrameLease lease(c.vm);
  Frame &frame = lease.get();
  if (!c.vm.fit(frame, arguments.dims.span()) ||
      (c.computed && !c.computed_axes_match(r.args, frame.layout))) {
    return false;
  }
  if (c.donates) {
    check_donated(c, r);
  }
  std::ranges::copy(arguments.data.span(), frame.inputs.begin());
  if (r.outs != nullptr) {
    use_outs(c, r, frame);
    run(c, frame, r.repeat);
    result = Py_NewRef(Py_None);
    return true;
  }
  Results results(c.outputs.size());
  make_results(c, r, frame, results);
  run(c, frame, r.repeat);
  make_late_results(c, frame, results);
  result = results.hand_out(r);
  return true;
}

int call(Compiled &c, const Request &r, PyObject *&result) noexcept {
  try {
    return try_call(c, r, result) ? 1 : 0;
  } catch (const PythonError &) {
    return -1;
  } catch (const Error &error) {
    set_error(error, {c.locations, c.vm.program().name.c_str()});
  } catch (const std::bad_alloc &) {
    (void)PyErr_NoMemory();
  } catch (const std::exception &error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return -1;
}

} // namespace symc::python
