/* Evaluation of the size table and of all that follows from it. */
#include "layout.h"

#include <algorithm>
#include <limits>
#include <string>

#include "error.h"
#include "memory.h"

namespace symc {
namespace {

constexpr std::int64_t far = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t chunks_wanted = 64;
constexpr std::int64_t shortest_chunk_ns = 4'000;
constexpr std::int64_t longest_chunk_ns = 4'000'000;
constexpr std::size_t most_lives = 512; /* their check is quadratic */
constexpr std::int64_t most_blocks = std::int64_t{1} << 61;

[[noreturn]] void overflow() { throw Error(ErrorKind::Memory, "a size is above 2**63 - 1"); }

/* Evaluates one entry; false for a division by zero. */
bool evaluate(const SizeExpr &e, Layout &l, std::int64_t &out) {
  if (e.op == SizeOp::Const) {
    out = e.a;
    return true;
  }
  if (e.op == SizeOp::Dim) {
    out = l.dims[static_cast<std::size_t>(e.a)];
    return true;
  }
  const std::int64_t a = l.sizes[static_cast<std::size_t>(e.a)];
  const std::int64_t b = l.sizes[static_cast<std::size_t>(e.b)];
  bool wrapped = false;
  switch (e.op) {
  case SizeOp::Const:
  case SizeOp::Dim:
    return false;
  case SizeOp::Add:
    wrapped = __builtin_add_overflow(a, b, &out);
    break;
  case SizeOp::Sub:
    wrapped = __builtin_sub_overflow(a, b, &out);
    break;
  case SizeOp::Mul:
    wrapped = __builtin_mul_overflow(a, b, &out);
    break;
  case SizeOp::FloorDiv:
  case SizeOp::Mod: {
    if (b == 0) {
      return false;
    }
    if (b == -1) {
      wrapped = __builtin_sub_overflow(std::int64_t{0}, a, &out) && e.op == SizeOp::FloorDiv;
      out = e.op == SizeOp::Mod ? 0 : out;
      break;
    }
    const bool down = a % b != 0 && (a % b < 0) != (b < 0);
    out = e.op == SizeOp::FloorDiv ? a / b - (down ? 1 : 0) : a % b + (down ? b : 0);
    break;
  }
  case SizeOp::Min:
    out = std::min(a, b);
    break;
  case SizeOp::Max:
    out = std::max(a, b);
    break;
  }
  if (wrapped) {
    overflow();
  }
  return true;
}

/* Bytes of an array; false when an axis is negative. */
bool array_bytes(const Layout &l, const Sizes &shape, DType dtype, std::size_t &out) {
  std::int64_t bytes = item_size(dtype);
  bool empty = false;
  for (const std::uint32_t entry : shape) {
    const std::int64_t size = l.sizes[entry];
    if (size < 0) {
      return false;
    }
    empty = empty || size == 0;
    if (!empty && __builtin_mul_overflow(bytes, size, &bytes)) {
      overflow();
    }
  }
  out = empty ? 0 : static_cast<std::size_t>(bytes);
  return true;
}

/* Bytes that the thing named by a buffer has; false when they cannot be. */
bool named_bytes(const Program &p, const Buffer &b, const Layout &l, std::size_t &out) {
  switch (b.kind) {
  case BufferKind::Input:
    return array_bytes(l, p.inputs[b.index].shape, b.dtype, out);
  case BufferKind::State:
  case BufferKind::Staged:
    return array_bytes(l, p.states[b.index].shape, b.dtype, out);
  case BufferKind::Const:
    out = p.constants[b.index].bytes;
    return true;
  case BufferKind::Output:
  case BufferKind::Arena:
  case BufferKind::Slot:
  case BufferKind::Tape:
    return array_bytes(l, b.shape, b.dtype, out);
  }
  return false;
}

bool place_buffers(const Program &p, Layout &l, const Level &level) {
  const std::int64_t arena = l.sizes[p.arena];
  if (arena < 0) {
    return false;
  }
  l.arena = static_cast<std::size_t>(arena);
  for (const std::uint32_t i : level.buffers) {
    const Buffer &b = p.buffers[i];
    std::size_t named = 0;
    if (!array_bytes(l, b.shape, b.dtype, l.buffer_bytes[i]) || !named_bytes(p, b, l, named) ||
        named != l.buffer_bytes[i]) {
      return false;
    }
    if (b.kind != BufferKind::Arena) {
      continue;
    }
    const std::int64_t offset = l.sizes[b.offset];
    const auto room = static_cast<std::int64_t>(std::min(l.buffer_bytes[i], std::size_t{far}));
    const std::int64_t held = std::max(l.sizes[b.bytes], room);
    if (offset < 0 || offset % static_cast<std::int64_t>(alignment) != 0 || offset > arena ||
        held > arena - offset) {
      return false;
    }
    l.buffer_offset[i] = static_cast<std::size_t>(offset);
  }
  return true;
}

std::size_t end_of(const Layout &l, const Life &life) {
  return l.buffer_offset[life.buffer] + l.buffer_bytes[life.buffer];
}

/* A buffer may take the place of one that is used last by the instruction that uses it first: that
   is how the compiler writes in place. */
void check_lives(Layout &l) {
  l.alive.clear();
  for (const Life &life : l.lives) {
    std::erase_if(l.alive, [&](const Life &other) { return other.last <= life.first; });
    for (const Life &other : l.alive) {
      if (l.buffer_offset[life.buffer] < end_of(l, other) &&
          l.buffer_offset[other.buffer] < end_of(l, life)) {
        throw Error(ErrorKind::Format, "malformed program: arena buffers " +
                                           std::to_string(other.buffer) + " and " +
                                           std::to_string(life.buffer) + " overlap");
      }
    }
    l.alive.push_back(life);
  }
}

std::int64_t saturated(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? far : product;
}

bool plan_kernel(const Instruction &i, Layout &l, Launch &launch) {
  launch.blocks = l.sizes[i.blocks];
  const std::int64_t scratch = l.sizes[i.scratch];
  if (launch.blocks < 0 || launch.blocks > most_blocks || scratch < 0) {
    return false;
  }
  launch.scratch = static_cast<std::size_t>(scratch);
  const std::int64_t cost = std::max(l.sizes[i.cost], std::int64_t{1});
  launch.ns = saturated(cost, launch.blocks) / 16;
  const std::int64_t chunk =
      std::clamp(launch.ns / chunks_wanted, shortest_chunk_ns, longest_chunk_ns);
  launch.grain = std::max(saturated(chunk, 16) / cost, std::int64_t{1});
  for (std::size_t d = 0; d < i.dims.size(); ++d) {
    l.kernel_dims[launch.first_dim + d] = l.sizes[i.dims[d]];
  }
  l.scratch = std::max(l.scratch, launch.scratch);
  l.ns = l.ns > far - launch.ns ? far : l.ns + launch.ns;
  return true;
}

bool plan_code(const Program &p, Layout &l, const Level &level) {
  for (const std::size_t at : level.code) {
    const Instruction &i = p.code[at];
    switch (i.op) {
    case Opcode::Kernel:
      if (!plan_kernel(i, l, l.launches[at])) {
        return false;
      }
      break;
    case Opcode::Copy: {
      const std::size_t bytes = l.buffer_bytes[i.buffers[0]];
      if (bytes != l.buffer_bytes[i.buffers[1]]) {
        return false;
      }
      const auto ns = static_cast<std::int64_t>(bytes / 16);
      l.ns = l.ns > far - ns ? far : l.ns + ns;
      break;
    }
    case Opcode::Jump:
    case Opcode::Bind:
    case Opcode::Commit:
      break;
    }
  }
  return true;
}

/* Sizes, constraints, buffers and code of one level, in this order. */
bool compute_level(const Program &p, Layout &l, Level &level) {
  level.ready = false;
  for (const std::uint32_t i : level.sizes) {
    if (!evaluate(p.sizes[i], l, l.sizes[i])) {
      return false;
    }
  }
  for (const std::uint32_t i : level.constraints) {
    const Constraint &c = p.constraints[i];
    if (l.sizes[c.left] != l.sizes[c.right]) {
      return false;
    }
  }
  level.ready = place_buffers(p, l, level) && plan_code(p, l, level);
  return level.ready;
}

/* What a constraint that does not hold says. */
Error failed(const Constraint &c, std::int64_t left, std::int64_t right) {
  const std::string got = c.message + ": got " + std::to_string(left);
  switch (c.kind) {
  case ConstraintKind::Index:
    return {ErrorKind::Index, got + ", expected at least " + std::to_string(right), c.node};
  case ConstraintKind::Empty:
    return {ErrorKind::Value, got + ", expected at least " + std::to_string(right), c.node};
  case ConstraintKind::Equal:
    break;
  }
  const std::string both = got + " and " + std::to_string(right) + ", expected equal sizes";
  return {ErrorKind::Shape, both, c.node};
}

/* Which constraint does not hold. */
[[noreturn]] void refuse(const Program &p, const Layout &l, const Level &level) {
  for (const std::uint32_t i : level.constraints) {
    const Constraint &c = p.constraints[i];
    if (l.sizes[c.left] != l.sizes[c.right]) {
      throw failed(c, l.sizes[c.left], l.sizes[c.right]);
    }
  }
  throw Error(ErrorKind::Shape, "a size that a loop found does not fit");
}

} // namespace

namespace {

void prepare_lives(const Program &p, Layout &l) {
  std::vector<std::size_t> place(p.buffers.size(), p.buffers.size());
  for (std::size_t at = 0; at < p.code.size(); ++at) {
    const Instruction &i = p.code[at];
    l.loops = l.loops || i.endless || (i.op == Opcode::Jump && i.to <= at);
    for (const std::uint32_t number : i.buffers) {
      if (p.buffers[number].kind != BufferKind::Arena) {
        continue;
      }
      if (place[number] == p.buffers.size()) {
        place[number] = l.lives.size();
        l.lives.push_back({number, at, at});
      }
      l.lives[place[number]].last = at;
    }
  }
  const auto is_jump = [](const Instruction &i) { return i.op == Opcode::Jump; };
  if (l.lives.size() > most_lives || std::ranges::any_of(p.code, is_jump)) {
    l.lives.clear();
  }
  l.alive.reserve(l.lives.size());
}

} // namespace

namespace {

/* Everything by the level at which it is known. */
void prepare_levels(const Program &p, Layout &l) {
  const std::vector<std::uint32_t> levels = size_levels(p);
  l.levels.resize(std::size_t{p.computed} + 1);
  for (std::uint32_t i = 0; i < p.sizes.size(); ++i) {
    l.levels[levels[i]].sizes.push_back(i);
  }
  for (std::uint32_t i = 0; i < p.constraints.size(); ++i) {
    const Constraint &c = p.constraints[i];
    l.levels[std::max(levels[c.left], levels[c.right])].constraints.push_back(i);
  }
  for (std::uint32_t i = 0; i < p.buffers.size(); ++i) {
    l.levels[buffer_level(p.buffers[i], levels)].buffers.push_back(i);
  }
  for (std::size_t at = 0; at < p.code.size(); ++at) {
    const Instruction &i = p.code[at];
    std::uint32_t level = i.op == Opcode::Kernel ? kernel_level(i, levels) : 0;
    if (i.op == Opcode::Copy) {
      level = std::max(buffer_level(p.buffers[i.buffers[0]], levels),
                       buffer_level(p.buffers[i.buffers[1]], levels));
    }
    l.levels[level].code.push_back(at);
  }
}

} // namespace

void prepare_layout(const Program &p, Layout &l) {
  prepare_lives(p, l);
  prepare_levels(p, l);
  l.dims.resize(p.dims.size());
  l.sizes.resize(p.sizes.size());
  l.buffer_bytes.resize(p.buffers.size());
  l.buffer_offset.resize(p.buffers.size());
  l.launches.resize(p.code.size());
  std::size_t total = 0;
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    l.launches[i].first_dim = total;
    total += p.code[i].dims.size();
  }
  l.kernel_dims.resize(total);
}

bool compute_layout(const Program &p, std::span<const std::int64_t> dims, Layout &l) {
  l.ready = false;
  std::ranges::copy(dims.first(p.inputs_dims()), l.dims.begin());
  for (Level &level : l.levels) {
    level.ready = false;
  }
  l.scratch = 0;
  l.ns = 0;
  if (!compute_level(p, l, l.levels[0])) {
    return false;
  }
  check_lives(l);
  l.ready = true;
  return true;
}

void bind_dim(const Program &p, std::size_t dim, std::int64_t value, Layout &l) {
  const std::size_t number = dim - p.inputs_dims() + 1;
  Level &level = l.levels[number];
  if (level.ready && l.dims[dim] == value) {
    return;
  }
  if (value < 0) {
    throw Error(ErrorKind::Shape, "a loop found a negative size");
  }
  l.dims[dim] = value;
  for (std::size_t i = number; i < l.levels.size(); ++i) {
    l.levels[i].ready = false;
  }
  const std::int64_t ns = l.ns; /* what is expected of a call does not grow from call to call */
  const bool fits = compute_level(p, l, level);
  l.ns = ns;
  if (!fits) {
    refuse(p, l, level);
  }
}

} // namespace symc
