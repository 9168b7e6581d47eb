/* Programs for tests, written by hand in the encoding of runtime/encode.py. */
#ifndef SYMC_TESTS_PROGRAM_BYTES_H
#define SYMC_TESTS_PROGRAM_BYTES_H

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "program.h"
#include "symc.h"

namespace tests {

using Bytes = std::vector<std::byte>;
using List = std::vector<std::uint32_t>;

class Writer {
public:
  template <class T> Writer &number(T value) {
    const auto *from = reinterpret_cast<const std::byte *>(&value);
    bytes.insert(bytes.end(), from, from + sizeof(T));
    return *this;
  }
  Writer &u8(unsigned value) { return number(static_cast<std::uint8_t>(value)); }
  Writer &u32(std::size_t value) { return number(static_cast<std::uint32_t>(value)); }
  Writer &i64(std::int64_t value) { return number(value); }
  Writer &text(const std::string &value) {
    u32(value.size());
    for (const char c : value) {
      u8(static_cast<unsigned char>(c));
    }
    return *this;
  }
  Writer &list(const List &values) {
    u32(values.size());
    for (const std::uint32_t value : values) {
      u32(value);
    }
    return *this;
  }

  Bytes bytes;
};

/* Sections of a program, each with its own count; `encode` joins them. */
class ProgramBytes {
public:
  std::uint32_t dim(const std::string &name) {
    return add(dims_, [&](Writer &w) { w.text(name); });
  }
  std::uint32_t size(symc::SizeOp op, std::int64_t a, std::int64_t b = 0) {
    return add(sizes_, [&](Writer &w) { w.u8(static_cast<unsigned>(op)).i64(a).i64(b); });
  }
  std::uint32_t constant_size(std::int64_t value) { return size(symc::SizeOp::Const, value); }
  void constraint(std::uint32_t left, std::uint32_t right) {
    add(constraints_, [&](Writer &w) { w.u32(left).u32(right).u32(0).u8(0).text("sizes differ"); });
  }
  std::uint32_t input(const List &shape, bool donated = false) {
    return add(inputs_, [&](Writer &w) {
      w.text("x").u8(f32).u8(symc::accept_array).u8(donated ? 1 : 0).list(shape);
    });
  }
  std::uint32_t state(const List &shape) {
    return add(states_, [&](Writer &w) { w.text("w").u8(f32).list(shape); });
  }
  std::uint32_t constant(const std::vector<float> &values) {
    return add(constants_, [&](Writer &w) {
      w.u8(f32).u32(1).i64(static_cast<std::int64_t>(values.size()));
      for (const float value : values) {
        w.number(value);
      }
    });
  }
  std::uint32_t buffer(symc::BufferKind kind, std::uint32_t index, const List &shape,
                       std::uint32_t bytes, std::uint32_t offset = symc::none,
                       unsigned dtype = f32) {
    return add(buffers_, [&](Writer &w) {
      w.u8(static_cast<unsigned>(kind)).u32(index).u8(dtype).list(shape).u32(bytes).u32(offset);
      w.text("host");
    });
  }
  void update(std::uint32_t slot, std::uint32_t buffer) {
    add(updates_, [&](Writer &w) { w.u32(slot).u32(buffer); });
  }
  void kernel(const std::string &symbol, const List &buffers, std::uint32_t blocks,
              std::uint32_t cost, std::uint32_t scratch, unsigned flags = 0) {
    add(code_, [&](Writer &w) {
      w.u8(0).text(symbol).list(buffers).list({blocks}).u32(blocks).u32(cost).u32(scratch).u32(0);
      w.u8(flags);
    });
  }
  void bind(std::uint32_t dim, std::uint32_t buffer) {
    add(code_, [&](Writer &w) { w.u8(4).u32(dim).u32(buffer).u32(0); });
  }
  void copy(std::uint32_t target, std::uint32_t source) {
    add(code_, [&](Writer &w) { w.u8(1).u32(target).u32(source).u32(0); });
  }
  void jump(std::uint32_t to, std::uint32_t unless = symc::none) {
    add(code_, [&](Writer &w) { w.u8(2).u32(to).u32(unless); });
  }
  void commit() {
    add(code_, [](Writer &w) { w.u8(3); });
  }

  List outputs;
  std::uint32_t arena = 0;
  std::uint32_t computed = 0;

  [[nodiscard]] Bytes encode() const {
    Writer body;
    body.text("test");
    join(body, dims_);
    body.u32(computed);
    for (const Section *s : {&sizes_, &constraints_, &inputs_, &states_, &constants_, &buffers_}) {
      join(body, *s);
    }
    body.list(outputs);
    join(body, updates_);
    body.u32(arena);
    join(body, code_);
    body.u32(1);
    Writer whole;
    for (const char c : {'S', 'Y', 'M', 'C', 'P', 'R', 'O', 'G'}) {
      whole.u8(static_cast<unsigned char>(c));
    }
    whole.u32(symc::program_version).u32(SYMC_ABI_VERSION);
    whole.number(std::uint64_t{whole.bytes.size() + 8 + body.bytes.size()});
    whole.bytes.insert(whole.bytes.end(), body.bytes.begin(), body.bytes.end());
    return whole.bytes;
  }

  static constexpr unsigned traps = 1; /* flags of a kernel */
  static constexpr unsigned pauses = 2;
  static constexpr unsigned i64 = static_cast<unsigned>(symc::DType::I64);
  static constexpr unsigned f32 = static_cast<unsigned>(symc::DType::F32);

private:
  struct Section {
    std::uint32_t count = 0;
    Writer items;
  };

  template <class Write> static std::uint32_t add(Section &section, Write write) {
    write(section.items);
    return section.count++;
  }
  static void join(Writer &to, const Section &section) {
    to.u32(section.count);
    to.bytes.insert(to.bytes.end(), section.items.bytes.begin(), section.items.bytes.end());
  }

  Section dims_;
  Section sizes_;
  Section constraints_;
  Section inputs_;
  Section states_;
  Section constants_;
  Section buffers_;
  Section updates_;
  Section code_;
};

/* y = f(x), x: f32[n]: one kernel "k" over n blocks of 16 * `cost` ns. */
inline ProgramBytes unary(std::int64_t cost, std::int64_t scratch = 0, bool traps = false) {
  ProgramBytes p;
  const std::uint32_t n = p.size(symc::SizeOp::Dim, p.dim("n"));
  const std::uint32_t four = p.constant_size(4);
  const std::uint32_t bytes = p.size(symc::SizeOp::Mul, n, four);
  const std::uint32_t price = p.constant_size(cost);
  const std::uint32_t room = p.constant_size(scratch);
  p.arena = p.constant_size(0);
  const std::uint32_t x = p.buffer(symc::BufferKind::Input, p.input({n}), {n}, bytes);
  const std::uint32_t y = p.buffer(symc::BufferKind::Output, 0, {n}, bytes);
  p.outputs = {y};
  p.kernel("k", {x, y}, n, price, room, traps);
  return p;
}

} // namespace tests

#endif
