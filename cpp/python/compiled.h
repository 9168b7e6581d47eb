/* An executable with what calls from Python need: how each positional input is recognised, how each
   result is made, the text of its locations. */
#ifndef SYMC_COMPILED_H
#define SYMC_COMPILED_H

#include <array>
#include <memory>
#include <vector>

#include "numpy_api.h"
#include "vm.h"

namespace symc::python {

/* A small array on the stack, or on the heap when it is not small. */
template <class T, std::size_t N> class Small {
public:
  explicit Small(std::size_t size) : size_(size) {
    if (size > N) {
      heap_.resize(size);
      data_ = heap_.data();
    }
  }
  Small(const Small &) = delete;
  Small &operator=(const Small &) = delete;

  [[nodiscard]] T &operator[](std::size_t i) noexcept { return data_[i]; }
  [[nodiscard]] T *data() noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<T> span() noexcept { return {data_, size_}; }

private:
  std::array<T, N> local_;
  std::vector<T> heap_;
  T *data_ = local_.data();
  std::size_t size_;
};

/* How one axis of an input or shared variable is checked. */
struct Axis {
  enum class Rule : std::uint8_t {
    Fixed,   /* equals `value` */
    Binds,   /* gives dim number `value` */
    Repeats, /* equals dim number `value` */
    Computed /* equals size entry `value`, known only when all dims are */
  };
  Rule rule;
  std::int64_t value;
};

struct InputRule {
  int type_num;
  int twin; /* a second NumPy type with the same meaning */
  DType dtype;
  std::uint8_t accept;
  bool donated;
  bool computed; /* some axis is Computed */
  std::vector<Axis> axes;
};

struct OutputRule {
  std::uint32_t buffer;
  std::int64_t donated; /* the input whose ndarray is returned, or -1 */
  bool late;            /* its shape is known after the call only */
  PyArray_Descr *descr; /* owned by the Compiled */
};

/* How results are handed out. */
enum class Structure : int { Single = 0, Tuple = 1, None = 2, Nested = 3 };

/* What the inputs of one call are, once they match.  Scalars are converted into `scalars`. */
struct Arguments {
  explicit Arguments(const Executable &vm)
      : data(vm.program().inputs.size()), scalars(vm.program().inputs.size()),
        dims(vm.program().dims.size()) {}
  Small<void *, 16> data;
  Small<std::uint64_t, 16> scalars;
  Small<std::int64_t, 16> dims;
};

class Compiled {
public:
  /* Throws Error and PythonError. */
  Compiled(std::span<const std::byte> program, std::span<const std::byte> object,
           Executable::States states, PyObject *locations);
  ~Compiled();
  Compiled(const Compiled &) = delete;
  Compiled &operator=(const Compiled &) = delete;

  /* Whether the positional arguments are what this executable takes; fills `out`. */
  [[nodiscard]] bool matches(PyObject *const *args, std::size_t count, Arguments &out) const;
  /* The axes that are checked after the layout is known. */
  [[nodiscard]] bool computed_axes_match(PyObject *const *args, const Layout &layout) const;
  /* Whether the shared variables, whose locks are held, have the shapes of the layout. */
  [[nodiscard]] bool states_match(const Layout &layout) const;

  Executable vm;
  std::vector<InputRule> inputs;
  std::vector<OutputRule> outputs;
  PyObject *locations;
  bool donates = false;
  bool computed = false;
  Stats last{};

private:
  [[nodiscard]] std::vector<Axis> axes_of(const Sizes &shape, std::vector<bool> &bound) const;
  void make_inputs();
  void make_outputs();

  std::vector<std::vector<Axis>> state_axes_;
};

/* The Compiled behind a Python Executable; null with TypeError set.  Defined in bindings.cpp. */
[[nodiscard]] Compiled *compiled_of(PyObject *executable) noexcept;

} // namespace symc::python

#endif
