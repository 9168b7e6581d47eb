/* Recognising arguments: one compare of type, rank, layout and sizes per input, no allocation. */
#include "compiled.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "dtypes.h"
#include "raise.h"

namespace symc::python {
namespace {

constexpr int wanted_flags = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;

bool sizes_match(const std::vector<Axis> &axes, const npy_intp *shape, Arguments &out) {
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto value = static_cast<std::size_t>(axes[i].value);
    switch (axes[i].rule) {
    case Axis::Rule::Fixed:
      if (shape[i] != axes[i].value) {
        return false;
      }
      break;
    case Axis::Rule::Binds:
      out.dims[value] = shape[i];
      break;
    case Axis::Rule::Repeats:
      if (shape[i] != out.dims[value]) {
        return false;
      }
      break;
    case Axis::Rule::Computed:
      break;
    }
  }
  return true;
}

bool array_matches(const InputRule &rule, PyArrayObject *array, Arguments &out) {
  const PyArray_Descr *descr = PyArray_DESCR(array);
  if ((descr->type_num != rule.type_num && descr->type_num != rule.twin) ||
      descr->byteorder == NPY_OPPBYTE || (PyArray_FLAGS(array) & wanted_flags) != wanted_flags ||
      static_cast<std::size_t>(PyArray_NDIM(array)) != rule.axes.size()) {
    return false;
  }
  return sizes_match(rule.axes, PyArray_DIMS(array), out);
}

template <class T> bool store(std::uint64_t &slot, T value) {
  slot = 0;
  std::memcpy(&slot, &value, sizeof(T));
  return true;
}

template <class T> bool store_integer(std::uint64_t &slot, long long value) {
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    return value >= 0 && store(slot, static_cast<T>(value));
  } else {
    return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max() &&
           store(slot, static_cast<T>(value));
  }
}

bool store_float(DType dtype, double value, std::uint64_t &slot) {
  if (dtype == DType::F64) {
    return store(slot, value);
  }
  return dtype == DType::F32 && store(slot, static_cast<float>(value));
}

/* Types left out here are converted by the miss path. */
bool store_int(DType dtype, long long value, std::uint64_t &slot) {
  constexpr long long exact = 1LL << 24; /* beyond it a float32 may need its own rounding */
  switch (dtype) {
  case DType::I8:
    return store_integer<std::int8_t>(slot, value);
  case DType::I16:
    return store_integer<std::int16_t>(slot, value);
  case DType::I32:
    return store_integer<std::int32_t>(slot, value);
  case DType::I64:
    return store_integer<std::int64_t>(slot, value);
  case DType::U8:
    return store_integer<std::uint8_t>(slot, value);
  case DType::U16:
    return store_integer<std::uint16_t>(slot, value);
  case DType::U32:
    return store_integer<std::uint32_t>(slot, value);
  case DType::U64:
    return store_integer<std::uint64_t>(slot, value);
  case DType::F32:
  case DType::F64:
    return value >= -exact && value <= exact &&
           store_float(dtype, static_cast<double>(value), slot);
  case DType::Bool:
  case DType::F16:
  case DType::BF16:
  case DType::C64:
  case DType::C128:
    return false;
  }
  return false;
}

bool int_matches(const InputRule &rule, PyObject *number, std::uint64_t &slot) {
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
  return overflow == 0 && store_int(rule.dtype, value, slot);
}

bool scalar_matches(const InputRule &rule, PyObject *object, std::uint64_t &slot) {
  if (PyFloat_CheckExact(object)) {
    return (rule.accept & accept_float) != 0 &&
           store_float(rule.dtype, PyFloat_AS_DOUBLE(object), slot);
  }
  if (PyBool_Check(object)) {
    const bool value = object == Py_True;
    return (rule.accept & accept_bool) != 0 &&
           (rule.dtype == DType::Bool ? store(slot, value)
                                      : store_int(rule.dtype, value ? 1 : 0, slot));
  }
  return (rule.accept & accept_int) != 0 && PyLong_CheckExact(object) &&
         int_matches(rule, object, slot);
}

} // namespace

bool Compiled::matches(PyObject *const *args, std::size_t count, Arguments &out) const {
  if (count != inputs.size()) {
    return false;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const InputRule &rule = inputs[i];
    if (Py_IS_TYPE(args[i], &PyArray_Type)) {
      PyArrayObject *array = as_array(args[i]);
      if ((rule.accept & accept_array) == 0 || !array_matches(rule, array, out)) {
        return false;
      }
      out.data[i] = PyArray_DATA(array);
      continue;
    }
    if (!scalar_matches(rule, args[i], out.scalars[i])) {
      return false;
    }
    out.data[i] = &out.scalars[i];
  }
  for (std::size_t i = 0; i < state_axes_.size(); ++i) {
    if (!sizes_match(state_axes_[i], vm.states()[i]->shape().data(), out)) {
      return false;
    }
  }
  return true;
}

bool Compiled::computed_axes_match(PyObject *const *args, const Layout &layout) const {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].computed) {
      continue;
    }
    const npy_intp *shape = PyArray_DIMS(as_array(args[i]));
    const Sizes &entries = vm.program().inputs[i].shape;
    for (std::size_t axis = 0; axis < entries.size(); ++axis) {
      if (shape[axis] != layout.sizes[entries[axis]]) {
        return false;
      }
    }
  }
  return true;
}

bool Compiled::states_match(const Layout &layout) const {
  const auto &slots = vm.program().states;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto &shape = vm.states()[i]->shape();
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      if (shape[axis] != layout.sizes[slots[i].shape[axis]]) {
        return false;
      }
    }
  }
  return true;
}

Compiled::Compiled(std::span<const std::byte> program, std::span<const std::byte> object,
                   Executable::States states, PyObject *where)
    : vm(program, object, std::move(states)), locations(where) {
  make_inputs();
  try {
    make_outputs();
  } catch (...) {
    for (const OutputRule &rule : outputs) {
      Py_DECREF(rule.descr);
    }
    throw;
  }
  Py_XINCREF(locations);
}

Compiled::~Compiled() {
  for (const OutputRule &rule : outputs) {
    Py_DECREF(rule.descr);
  }
  Py_XDECREF(locations);
}

std::vector<Axis> Compiled::axes_of(const Sizes &shape, std::vector<bool> &bound) const {
  std::vector<Axis> axes;
  for (const std::uint32_t entry : shape) {
    const SizeExpr &e = vm.program().sizes[entry];
    if (e.op == SizeOp::Const) {
      axes.push_back({Axis::Rule::Fixed, e.a});
    } else if (e.op == SizeOp::Dim) {
      const auto dim = static_cast<std::size_t>(e.a);
      axes.push_back({bound[dim] ? Axis::Rule::Repeats : Axis::Rule::Binds, e.a});
      bound[dim] = true;
    } else {
      axes.push_back({Axis::Rule::Computed, entry});
    }
  }
  return axes;
}

void Compiled::make_inputs() {
  const Program &p = vm.program();
  std::vector<bool> bound(p.dims.size(), false);
  for (const Input &in : p.inputs) {
    PyArray_Descr *descr = descriptor(in.dtype);
    const int number = descr->type_num;
    Py_DECREF(descr);
    InputRule rule{number, twin_type(number), in.dtype, in.accept, in.donated, false, {}};
    rule.axes = axes_of(in.shape, bound);
    const auto is_computed = [](const Axis &a) { return a.rule == Axis::Rule::Computed; };
    rule.computed = std::ranges::any_of(rule.axes, is_computed);
    donates = donates || in.donated;
    computed = computed || rule.computed;
    inputs.push_back(std::move(rule));
  }
  for (const StateSlot &slot : p.states) {
    state_axes_.push_back(axes_of(slot.shape, bound));
  }
}

void Compiled::make_outputs() {
  const Program &p = vm.program();
  for (const std::uint32_t number : p.outputs) {
    const Buffer &b = p.buffers[number];
    const std::int64_t donated = b.kind == BufferKind::Input ? std::int64_t{b.index} : -1;
    outputs.push_back({number, donated, b.kind == BufferKind::Slot, descriptor(b.dtype)});
  }
}

} // namespace symc::python
