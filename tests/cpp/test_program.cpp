/* Decoding: what is well formed is read as written, anything else is Error(Format) or
   Error(Unsupported), whatever the bytes. */
#include <random>

#include "check.h"
#include "layout.h"
#include "program_bytes.h"

using symc::BufferKind;
using symc::SizeOp;
using tests::Bytes;
using tests::ProgramBytes;

namespace {

/* One of everything. */
ProgramBytes rich() {
  ProgramBytes p = tests::unary(16);
  const std::uint32_t n = 0;
  const std::uint32_t bytes = 2;
  const std::uint32_t ten = p.constant_size(10);
  const std::uint32_t forty = p.constant_size(40);
  const std::uint32_t zero = p.arena;
  const std::uint32_t slot = p.state({ten});
  const std::uint32_t staged = p.buffer(BufferKind::Staged, slot, {ten}, forty);
  const std::uint32_t current = p.buffer(BufferKind::State, slot, {ten}, forty);
  const std::uint32_t fixed =
      p.buffer(BufferKind::Const, p.constant({1, 2}), {p.constant_size(2)}, p.constant_size(8));
  const std::uint32_t temporary = p.buffer(BufferKind::Arena, 0, {n}, bytes, zero);
  const std::uint32_t flag = p.buffer(BufferKind::Arena, 0, {}, p.constant_size(1), zero, 0);
  p.arena = p.size(SizeOp::Max, bytes, p.constant_size(64));
  p.update(slot, staged);
  p.constraint(n, n);
  p.kernel("k", {fixed, temporary, current}, n, ten, zero);
  p.jump(3, flag);
  p.copy(staged, current);
  p.commit();
  return p;
}

void well_formed() {
  const symc::Program p = symc::decode_program(rich().encode());
  CHECK(p.name == "test");
  CHECK(p.dims.size() == 1 && p.dims[0] == "n");
  CHECK(p.inputs.size() == 1 && p.inputs[0].dtype == symc::DType::F32);
  CHECK(p.constants.size() == 1 && p.constants[0].bytes == 8);
  CHECK(p.buffers.size() == 7 && p.code.size() == 5);
  CHECK(p.code[0].symbol == "k" && p.code[0].buffers.size() == 2);
  CHECK(p.code[2].op == symc::Opcode::Jump && p.code[2].to == 3);
  CHECK(p.updates.size() == 1 && p.locations == 1);
}

bool refused(const Bytes &bytes) {
  const auto kind = check::error_of([&] { (void)symc::decode_program(bytes); });
  return kind == symc::ErrorKind::Format || kind == symc::ErrorKind::Unsupported;
}

void every_truncation() {
  const Bytes whole = rich().encode();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CHECK(refused(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))));
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  CHECK(refused(longer));
}

/* Either an error or a program that can be laid out without touching what it should not. */
void survive(const Bytes &bytes) {
  try {
    const symc::Program p = symc::decode_program(bytes);
    symc::Layout layout;
    symc::prepare_layout(p, layout);
    const std::vector<std::int64_t> dims(p.dims.size(), 5);
    (void)symc::compute_layout(p, dims, layout);
  } catch (const symc::Error &error) {
    CHECK(error.kind() == symc::ErrorKind::Format || error.kind() == symc::ErrorKind::Memory ||
          error.kind() == symc::ErrorKind::Unsupported);
  }
}

void every_flipped_bit() {
  const Bytes whole = rich().encode();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes altered = whole;
      altered[at] ^= static_cast<std::byte>(1U << bit);
      survive(altered);
    }
  }
}

void random_edits() {
  const Bytes whole = rich().encode();
  std::mt19937 random(1); // NOLINT: the same edits in every run
  for (int round = 0; round < 20'000; ++round) {
    Bytes altered = whole;
    for (unsigned edits = random() % 4; edits < 4; ++edits) {
      altered[random() % altered.size()] = static_cast<std::byte>(random());
    }
    survive(altered);
  }
}

template <class Change> bool refused_when(Change change) {
  ProgramBytes p = tests::unary(16);
  change(p);
  return refused(p.encode());
}

void ill_formed() {
  const auto bool_dtype = static_cast<unsigned>(symc::DType::Bool);
  CHECK(!refused_when([](ProgramBytes &) {}));
  CHECK(refused_when([](ProgramBytes &p) { p.size(SizeOp::Add, 5, 6); }));
  CHECK(refused_when([](ProgramBytes &p) { p.size(SizeOp::Dim, 1); }));
  CHECK(refused_when([](ProgramBytes &p) { p.size(SizeOp::Mul, -1, 0); }));
  CHECK(refused_when([](ProgramBytes &p) { p.dim("unbound"); }));
  CHECK(refused_when([](ProgramBytes &p) { p.arena = 99; }));
  CHECK(refused_when([](ProgramBytes &p) { p.outputs = {0}; }));
  CHECK(refused_when([](ProgramBytes &p) { p.outputs = {1, 1}; }));
  CHECK(refused_when([](ProgramBytes &p) { p.outputs = {7}; }));
  CHECK(refused_when([](ProgramBytes &p) { p.buffer(BufferKind::Input, 3, {0}, 2); }));
  CHECK(refused_when([](ProgramBytes &p) { p.buffer(BufferKind::Arena, 0, {0}, 2); }));
  CHECK(refused_when(
      [&](ProgramBytes &p) { p.buffer(BufferKind::Input, 0, {0}, 2, symc::none, bool_dtype); }));
  CHECK(refused_when([](ProgramBytes &p) { p.copy(0, 1); }));
  CHECK(refused_when([](ProgramBytes &p) { p.jump(3); }));
  CHECK(refused_when([](ProgramBytes &p) { p.jump(0, 1); }));
  CHECK(refused_when([](ProgramBytes &p) { p.kernel("k", {9}, 0, 0, 0); }));
  CHECK(refused_when([](ProgramBytes &p) { p.kernel("k", {0}, 99, 0, 0); }));
}

void order_around_commit() {
  CHECK(refused_when([](ProgramBytes &p) {
    p.commit();
    p.commit();
  }));
  CHECK(refused_when([](ProgramBytes &p) {
    p.commit();
    p.kernel("k", {0}, 0, 0, 4, true);
  }));
  CHECK(refused_when([](ProgramBytes &p) {
    p.commit();
    p.jump(0);
  }));
  CHECK(refused_when([](ProgramBytes &p) {
    p.jump(3);
    p.commit();
  }));
  const auto in_place = [](ProgramBytes &p) {
    const std::uint32_t slot = p.state({0});
    const std::uint32_t current = p.buffer(BufferKind::State, slot, {0}, 2);
    p.update(slot, current);
    return current;
  };
  CHECK(refused_when([&](ProgramBytes &p) { in_place(p); }));
  CHECK(refused_when([&](ProgramBytes &p) {
    p.copy(in_place(p), 0);
    p.commit();
  }));
  CHECK(!refused_when([&](ProgramBytes &p) {
    const std::uint32_t current = in_place(p);
    p.commit();
    p.copy(current, 0);
  }));
  CHECK(refused_when([](ProgramBytes &p) {
    p.buffer(BufferKind::Staged, p.state({0}), {0}, 2); /* no update names it */
  }));
}

} // namespace

int main() {
  well_formed();
  every_truncation();
  every_flipped_bit();
  random_edits();
  ill_formed();
  order_around_commit();
  return check::result();
}
