/* Sizes that a program finds out: tapes that grow, dims that are bound, loops that pause. */
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "program_bytes.h"
#include "vm.h"

using symc::BufferKind;
using symc::Executable;
using symc::Frame;
using symc::SizeOp;
using tests::ProgramBytes;

namespace {

/* Writes rows 1, 2, ... to a tape until input 0 says stop; buffers: x, tape, count. */
std::int32_t count_up(const symc_ctx *ctx, void *const *buf, const std::int64_t *, std::int64_t,
                      std::int64_t) {
  const float limit = *static_cast<const float *>(buf[0]);
  auto *tape = static_cast<symc_tape *>(buf[1]);
  std::int64_t room = 0;
  std::int64_t n = 0;
  for (; static_cast<float>(n) < limit; ++n) {
    if (--*ctx->steps_left < 0 && ctx->pause(ctx) != SYMC_OK) {
      return SYMC_CANCELLED;
    }
    if (n == room) {
      room = n < 4 ? 8 : 2 * n;
      if (ctx->grow(ctx, tape, n * 4, room * 4) != SYMC_OK) {
        return SYMC_NO_MEMORY;
      }
    }
    static_cast<float *>(tape->data)[n] = static_cast<float>(n + 1);
  }
  *static_cast<std::int64_t *>(buf[2]) = n;
  return SYMC_OK;
}

/* y = 2 x over as many elements as dim 0 says. */
std::int32_t twice(const symc_ctx *, void *const *buf, const std::int64_t *dim, std::int64_t,
                   std::int64_t) {
  const auto *x = static_cast<const float *>(buf[0]);
  auto *y = static_cast<float *>(buf[1]);
  for (std::int64_t i = 0; i < dim[0]; ++i) {
    y[i] = 2 * x[i];
  }
  return SYMC_OK;
}

std::int32_t no_memory(const symc_ctx *ctx, void *const *buf, const std::int64_t *, std::int64_t,
                       std::int64_t) {
  return ctx->grow(ctx, static_cast<symc_tape *>(buf[1]), 0,
                   std::numeric_limits<std::int64_t>::max());
}

const Executable::Kernels kernels{{"loop", count_up}, {"twice", twice}};

enum class Flaw { None, Early, Twice, Arena, Unbound, Odd };

/* count_up, its rows and twice the rows as results. */
ProgramBytes rows_program(Flaw flaw = Flaw::None) {
  ProgramBytes p;
  p.dim("k");
  p.computed = 1;
  const std::uint32_t one = p.constant_size(1);
  const std::uint32_t k = p.size(SizeOp::Dim, 0);
  const std::uint32_t four = p.constant_size(4);
  const std::uint32_t bytes = p.size(SizeOp::Mul, k, four);
  const std::uint32_t eight = p.constant_size(8);
  const std::uint32_t zero = p.constant_size(0);
  p.arena = flaw == Flaw::Arena ? bytes : p.constant_size(64);
  p.input({one});
  const std::uint32_t x = p.buffer(BufferKind::Input, 0, {one}, four);
  const std::uint32_t tape = p.buffer(BufferKind::Tape, 0, {zero}, zero);
  const std::uint32_t count = p.buffer(BufferKind::Arena, 0, {}, eight, zero, ProgramBytes::i64);
  const std::uint32_t rows = p.buffer(BufferKind::Slot, 0, {k}, bytes);
  const std::uint32_t other =
      p.buffer(BufferKind::Slot, flaw == Flaw::Odd ? 1U << 20 : 1, {k}, bytes);
  p.outputs = {rows, other};
  p.kernel("loop", {x, tape, count}, one, one, zero, ProgramBytes::pauses);
  if (flaw == Flaw::Early) {
    p.kernel("twice", {rows, other}, k, one, zero);
  }
  if (flaw != Flaw::Unbound) {
    p.bind(flaw == Flaw::Twice ? 1 : 0, count);
  }
  if (flaw != Flaw::Early && flaw != Flaw::Unbound) {
    p.kernel("twice", {rows, other}, k, one, zero);
  }
  return p;
}

std::vector<float> results(Executable &e, float limit, std::uint64_t &allocations,
                           symc::Poller poller = {}) {
  Frame *frame = e.acquire();
  const std::array<std::int64_t, 1> dims{-7}; /* what is computed is not read from here */
  CHECK(e.fit(*frame, dims));
  frame->inputs[0] = &limit;
  try {
    e.run(*frame, poller);
  } catch (...) {
    e.release(frame);
    throw;
  }
  std::vector<float> found(frame->layout.buffer_bytes[4] / sizeof(float));
  if (!found.empty()) {
    std::memcpy(found.data(), frame->buffers[4], frame->layout.buffer_bytes[4]);
  }
  allocations = frame->stats.allocations;
  e.release(frame);
  return found;
}

void as_many_rows_as_steps() {
  Executable e(rows_program().encode(), kernels, {});
  std::uint64_t allocations = 0;
  for (const int n : {0, 1, 8, 9, 1000, 3, 100'000, 0, 100'000}) {
    const std::vector<float> found = results(e, static_cast<float>(n), allocations);
    CHECK(found.size() == static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) {
      CHECK(found[static_cast<std::size_t>(i)] == static_cast<float>(2 * (i + 1)));
    }
  }
  CHECK(allocations == 0); /* not longer than a call before */
}

void malformed() {
  for (const Flaw flaw : {Flaw::Early, Flaw::Twice, Flaw::Arena, Flaw::Unbound, Flaw::Odd}) {
    CHECK_THROWS(Format, Executable(rows_program(flaw).encode(), kernels, {}));
  }
}

void a_tape_without_memory() {
  Executable e(rows_program().encode(), {{"loop", no_memory}, {"twice", twice}}, {});
  std::uint64_t allocations = 0;
  CHECK_THROWS(Memory, (void)results(e, 1, allocations));
}

bool count_asks(void *data) { return ++*static_cast<int *>(data) > 3; }

void a_loop_that_never_ends_is_stopped() {
  Executable e(rows_program().encode(), kernels, {});
  int asked = 0;
  std::uint64_t allocations = 0;
  /* Floats above 2**24 do not count on: the limit is never reached. */
  CHECK_THROWS(Interrupted, (void)results(e, 1e30F, allocations, {count_asks, &asked}));
  CHECK(asked == 4);
  CHECK(results(e, 3, allocations).size() == 3);
}

} // namespace

int main() {
  as_many_rows_as_steps();
  malformed();
  a_tape_without_memory();
  a_loop_that_never_ends_is_stopped();
  return check::result();
}
