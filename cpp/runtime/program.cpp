/* Decoding: bytes to structs.  The reader checks every length against what is left, so that any
   bytes at all give a Program or an Error; verify.cpp then checks what the numbers refer to. */
#include "program.h"

#include <algorithm>

#include <array>
#include <bit>
#include <cstring>

#include "error.h"

namespace symc {

static_assert(std::endian::native == std::endian::little, "programs are little-endian");

std::int64_t item_size(DType dtype) noexcept {
  constexpr std::array<std::int64_t, dtype_count> table{1, 1, 2, 4, 8, 1, 2, 4,
                                                        8, 2, 2, 4, 8, 8, 16};
  return table[static_cast<std::size_t>(dtype)];
}

namespace {

constexpr std::size_t max_rank = 64;

class Reader {
public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T> T number() {
    need(sizeof(T));
    T value{};
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::int64_t i64() { return number<std::int64_t>(); }

  bool flag() { return below(2, "flag") != 0; }

  /* A byte that must be below `limit`. */
  std::uint8_t below(std::uint8_t limit, const char *what) {
    const std::uint8_t value = u8();
    if (value >= limit) {
      fail(std::string("unknown ") + what + " " + std::to_string(value));
    }
    return value;
  }

  /* A count of things that take at least `each` bytes. */
  std::size_t count(std::size_t each) {
    const std::size_t n = u32();
    if (n > (bytes_.size() - position_) / each) {
      fail("count " + std::to_string(n) + " is larger than the rest of the program");
    }
    return n;
  }

  std::string string() {
    const std::size_t n = count(1);
    std::string text(reinterpret_cast<const char *>(bytes_.data()) + position_, n);
    position_ += n;
    return text;
  }

  Sizes indices() {
    const std::size_t n = count(4);
    Sizes list(n);
    for (std::uint32_t &entry : list) {
      entry = u32();
    }
    return list;
  }

  Sizes shape() {
    Sizes list = indices();
    if (list.size() > max_rank) {
      fail("rank " + std::to_string(list.size()) + " is above 64");
    }
    return list;
  }

  std::size_t skip(std::size_t n) {
    need(n);
    const std::size_t at = position_;
    position_ += n;
    return at;
  }

  void finish() const {
    if (position_ != bytes_.size()) {
      fail("bytes after the end");
    }
  }

  [[noreturn]] void fail(const std::string &why) const {
    throw Error(ErrorKind::Format,
                "malformed program at byte " + std::to_string(position_) + ": " + why);
  }

private:
  void need(std::size_t n) const {
    if (n > bytes_.size() - position_) {
      fail("truncated");
    }
  }

  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

DType read_dtype(Reader &r) { return static_cast<DType>(r.below(dtype_count, "dtype")); }

void read_header(Reader &r, std::size_t length) {
  constexpr std::uint64_t magic = 0x474f525043'4d5953ULL; /* "SYMCPROG" */
  if (r.number<std::uint64_t>() != magic) {
    r.fail("not a program");
  }
  const std::uint32_t version = r.u32();
  if (version != program_version || r.u32() != SYMC_ABI_VERSION) {
    throw Error(ErrorKind::Unsupported, "program of another version of symc");
  }
  if (r.number<std::uint64_t>() != length) {
    r.fail("wrong length");
  }
}

SizeExpr read_size(Reader &r) {
  const auto op = static_cast<SizeOp>(r.below(size_op_count, "size operation"));
  const std::int64_t a = r.i64();
  return {op, a, r.i64()};
}

Constraint read_constraint(Reader &r) {
  const std::uint32_t left = r.u32();
  const std::uint32_t right = r.u32();
  const std::uint32_t node = r.u32();
  const auto kind = static_cast<ConstraintKind>(r.below(constraint_kind_count, "constraint"));
  return {left, right, node, kind, r.string()};
}

Input read_input(Reader &r) {
  Input in{};
  in.name = r.string();
  in.dtype = read_dtype(r);
  in.accept = r.below(16, "accept bits");
  in.donated = r.flag();
  in.shape = r.shape();
  return in;
}

StateSlot read_state(Reader &r) {
  StateSlot slot{};
  slot.name = r.string();
  slot.dtype = read_dtype(r);
  slot.shape = r.shape();
  return slot;
}

Constant read_constant(Reader &r) {
  Constant c{};
  c.dtype = read_dtype(r);
  std::int64_t bytes = item_size(c.dtype);
  c.shape.resize(r.count(8));
  if (c.shape.size() > max_rank) {
    r.fail("rank of a constant is above 64");
  }
  for (std::int64_t &dim : c.shape) {
    dim = r.i64();
    if (dim < 0 || __builtin_mul_overflow(bytes, dim, &bytes)) {
      r.fail("size of a constant");
    }
  }
  c.bytes = static_cast<std::size_t>(bytes);
  c.position = r.skip(c.bytes);
  return c;
}

Buffer read_buffer(Reader &r) {
  Buffer b{};
  b.kind = static_cast<BufferKind>(r.below(buffer_kind_count, "buffer kind"));
  b.index = r.u32();
  b.dtype = read_dtype(r);
  b.shape = r.shape();
  b.bytes = r.u32();
  b.offset = r.u32();
  if (const std::string space = r.string(); space != "host") {
    throw Error(ErrorKind::Unsupported, "memory space \"" + space + "\"");
  }
  return b;
}

Instruction read_kernel(Reader &r) {
  Instruction i{};
  i.op = Opcode::Kernel;
  i.symbol = r.string();
  i.buffers = r.indices();
  i.dims = r.indices();
  i.blocks = r.u32();
  i.cost = r.u32();
  i.scratch = r.u32();
  i.node = r.u32();
  const std::uint8_t flags = r.below(8, "flags of a kernel");
  i.traps = (flags & 1U) != 0;
  i.pauses = (flags & 2U) != 0;
  i.endless = (flags & 4U) != 0;
  return i;
}

Instruction read_instruction(Reader &r) {
  const std::uint8_t code = r.u8();
  Instruction i{};
  i.op = static_cast<Opcode>(code);
  switch (i.op) {
  case Opcode::Kernel:
    return read_kernel(r);
  case Opcode::Copy:
    i.buffers = {r.u32(), 0};
    i.buffers[1] = r.u32();
    i.node = r.u32();
    return i;
  case Opcode::Jump:
    i.to = r.u32();
    i.unless = r.u32();
    return i;
  case Opcode::Commit:
    return i;
  case Opcode::Bind:
    i.to = r.u32();
    i.buffers = {r.u32()};
    i.node = r.u32();
    return i;
  }
  r.fail("unknown instruction " + std::to_string(code));
}

template <class T, class Read> std::vector<T> read_list(Reader &r, std::size_t each, Read read) {
  const std::size_t n = r.count(each);
  std::vector<T> list;
  list.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    list.push_back(read(r));
  }
  return list;
}

} // namespace

Program decode_program(std::span<const std::byte> bytes) {
  Reader r(bytes);
  read_header(r, bytes.size());
  Program p;
  p.name = r.string();
  p.dims = read_list<std::string>(r, 4, [](Reader &in) { return in.string(); });
  p.computed = r.u32();
  p.sizes = read_list<SizeExpr>(r, 17, read_size);
  p.constraints = read_list<Constraint>(r, 17, read_constraint);
  p.inputs = read_list<Input>(r, 11, read_input);
  p.states = read_list<StateSlot>(r, 9, read_state);
  p.constants = read_list<Constant>(r, 5, read_constant);
  p.buffers = read_list<Buffer>(r, 22, read_buffer);
  p.outputs = r.indices();
  p.updates = read_list<Update>(r, 8, [](Reader &in) {
    const std::uint32_t slot = in.u32();
    return Update{slot, in.u32()};
  });
  p.arena = r.u32();
  p.code = read_list<Instruction>(r, 1, read_instruction);
  p.locations = r.u32();
  r.finish();
  verify_program(p);
  return p;
}

std::vector<std::uint32_t> size_levels(const Program &p) {
  std::vector<std::uint32_t> levels(p.sizes.size(), 0);
  const std::size_t first = p.inputs_dims();
  for (std::size_t i = 0; i < p.sizes.size(); ++i) {
    const SizeExpr &e = p.sizes[i];
    if (e.op == SizeOp::Const) {
      continue;
    }
    const auto a = static_cast<std::size_t>(e.a);
    if (e.op == SizeOp::Dim) {
      levels[i] = a < first ? 0 : static_cast<std::uint32_t>(a - first + 1);
    } else {
      levels[i] = std::max(levels[a], levels[static_cast<std::size_t>(e.b)]);
    }
  }
  return levels;
}

std::uint32_t buffer_level(const Buffer &b, const std::vector<std::uint32_t> &sizes) {
  std::uint32_t level = sizes[b.bytes];
  for (const std::uint32_t entry : b.shape) {
    level = std::max(level, sizes[entry]);
  }
  return level;
}

std::uint32_t kernel_level(const Instruction &i, const std::vector<std::uint32_t> &sizes) {
  std::uint32_t level = std::max({sizes[i.blocks], sizes[i.cost], sizes[i.scratch]});
  for (const std::uint32_t entry : i.dims) {
    level = std::max(level, sizes[entry]);
  }
  return level;
}

} // namespace symc
