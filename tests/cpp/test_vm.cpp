/* The VM: sizes, arenas, shared variables, commits, traps and stops, with kernels written in C++.
 */
#include <array>
#include <chrono>
#include <limits>
#include <thread>
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

std::int32_t affine(const symc_ctx *, void *const *buf, const std::int64_t *, std::int64_t begin,
                    std::int64_t end) {
  const auto *x = static_cast<const float *>(buf[0]);
  auto *y = static_cast<float *>(buf[1]);
  for (std::int64_t i = begin; i < end; ++i) {
    y[i] = x[i] * 2 + 1;
  }
  return SYMC_OK;
}

std::int32_t trap_negative(const symc_ctx *ctx, void *const *buf, const std::int64_t *dim,
                           std::int64_t begin, std::int64_t end) {
  const auto *x = static_cast<const float *>(buf[0]);
  for (std::int64_t i = begin; i < end; ++i) {
    if (x[i] < 0 && ctx->status->code == 0) {
      *ctx->status = {1, 0, 0, i, static_cast<std::int64_t>(x[i])};
    }
  }
  return affine(ctx, buf, dim, begin, end) + (ctx->status->code != 0 ? SYMC_TRAPPED : SYMC_OK);
}

std::int32_t nested_loop(const symc_ctx *ctx, void *const *buf, const std::int64_t *dim,
                         std::int64_t, std::int64_t) {
  return ctx->parallel_for(ctx, affine, buf, dim, 100'000, 1000);
}

/* Waits until told to stop. */
std::int32_t wait_for_cancel(const symc_ctx *ctx, void *const *, const std::int64_t *, std::int64_t,
                             std::int64_t) {
  for (int round = 0; round < 20'000; ++round) {
    if (__atomic_load_n(ctx->cancel, __ATOMIC_RELAXED) != 0) {
      return SYMC_CANCELLED;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return SYMC_OK;
}

std::int32_t slow_block(const symc_ctx *, void *const *, const std::int64_t *, std::int64_t,
                        std::int64_t) {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return SYMC_OK;
}

const Executable::Kernels kernels{{"k", affine}};

bool always(void *) { return true; }

/* A frame that goes back by itself. */
class Lease {
public:
  explicit Lease(Executable &e) : executable_(e), frame_(e.acquire()) {}
  ~Lease() { executable_.release(frame_); }
  Lease(const Lease &) = delete;
  Lease &operator=(const Lease &) = delete;
  Frame *operator->() const { return frame_; }
  Frame &operator*() const { return *frame_; }

private:
  Executable &executable_;
  Frame *frame_;
};

std::vector<float> run_unary(Executable &e, const std::vector<float> &x, symc::Poller poller = {}) {
  std::vector<float> y(x.size(), -1);
  const Lease frame(e);
  const std::array<std::int64_t, 1> dims{static_cast<std::int64_t>(x.size())};
  CHECK(e.fit(*frame, dims));
  frame->inputs[0] = const_cast<float *>(x.data()); // NOLINT: kernels take void *
  frame->buffers[1] = y.data();
  e.run(*frame, poller);
  return y;
}

bool is_affine(const std::vector<float> &x, const std::vector<float> &y) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (y[i] != x[i] * 2 + 1) {
      return false;
    }
  }
  return x.size() == y.size();
}

std::vector<float> ramp(std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = static_cast<float>(i % 1000);
  }
  return x;
}

void sizes_and_threads() {
  for (const std::int64_t cost : {1, 1000, 100'000}) {
    for (const unsigned threads : {1U, 2U, 4U}) {
      Executable e(tests::unary(cost).encode(), kernels, {});
      e.threads = threads;
      for (const std::size_t n : {0UL, 1UL, 8UL, 1000UL, 70'000UL}) {
        const std::vector<float> x = ramp(n);
        CHECK(is_affine(x, run_unary(e, x)));
      }
    }
  }
}

void missing_kernel() {
  CHECK_THROWS(Load, Executable(tests::unary(1).encode(), Executable::Kernels{}, {}));
  CHECK_THROWS(Value, Executable(tests::unary(1).encode(), kernels, {nullptr}));
}

void parallel_for_in_a_kernel() {
  Executable e(tests::unary(1).encode(), {{"k", nested_loop}}, {});
  e.threads = 3;
  const std::vector<float> x = ramp(100'000);
  CHECK(is_affine(x, run_unary(e, x)));
}

void steady_state() {
  ProgramBytes p = tests::unary(1, 4096);
  const std::uint32_t temporary = p.buffer(BufferKind::Arena, 0, {0}, 2, p.constant_size(64));
  p.arena = p.size(SizeOp::Add, 2, p.constant_size(128));
  p.copy(temporary, 0);
  Executable e(p.encode(), kernels, {});
  (void)run_unary(e, ramp(100));
  (void)run_unary(e, ramp(100));
  const Lease frame(e);
  CHECK(frame->stats.allocations == 0);
  const Lease other(e); /* a second call in flight */
  CHECK(other->stats.allocations == 1);
}

void sizes_that_do_not_fit() {
  const auto fits = [](auto change, std::int64_t n) {
    ProgramBytes p = tests::unary(1);
    change(p);
    Executable e(p.encode(), kernels, {});
    const Lease frame(e);
    const std::array<std::int64_t, 1> dims{n};
    return e.fit(*frame, dims);
  };
  CHECK(fits([](ProgramBytes &) {}, 8));
  CHECK(fits([](ProgramBytes &p) { p.constraint(0, p.constant_size(8)); }, 8));
  CHECK(!fits([](ProgramBytes &p) { p.constraint(0, p.constant_size(8)); }, 9));
  const auto arena = [](std::int64_t offset, std::int64_t room) {
    return [=](ProgramBytes &p) {
      p.buffer(BufferKind::Arena, 0, {0}, 2, p.constant_size(offset));
      p.arena = p.constant_size(room);
    };
  };
  CHECK(fits(arena(64, 96), 8));
  CHECK(!fits(arena(64, 95), 8));
  CHECK(!fits(arena(32, 96), 8));
  CHECK(!fits(arena(-64, 96), 8));
  const auto divide = [](ProgramBytes &p) {
    p.size(SizeOp::FloorDiv, 1, p.size(SizeOp::Sub, 0, p.constant_size(8)));
  };
  CHECK(fits(divide, 9));
  CHECK(!fits(divide, 8));
  const auto negative = [](ProgramBytes &p) {
    p.kernel("k", {}, p.size(SizeOp::Sub, 0, p.constant_size(9)), 3, 4);
  };
  CHECK(!fits(negative, 8));
  constexpr std::int64_t far = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS(Memory, fits([](ProgramBytes &) {}, far));
  CHECK_THROWS(Memory,
               fits([](ProgramBytes &p) { p.size(SizeOp::Add, 0, p.constant_size(far)); }, 8));
}

/* Two arena buffers: x -> first -> second -> y, `second` at `offset`; `again`: first is read later.
 */
bool lays_out(std::int64_t offset, bool again) {
  ProgramBytes p = tests::unary(1);
  const std::uint32_t zero = p.constant_size(0);
  const std::uint32_t place = p.constant_size(offset);
  const std::uint32_t first = p.buffer(BufferKind::Arena, 0, {0}, 2, zero);
  const std::uint32_t second = p.buffer(BufferKind::Arena, 0, {0}, 2, place);
  p.arena = p.constant_size(1024);
  p.copy(first, 0);
  p.copy(second, first);
  p.copy(1, second);
  if (again) {
    p.copy(1, first);
  }
  Executable e(p.encode(), kernels, {});
  const Lease frame(e);
  const std::array<std::int64_t, 1> dims{32};
  return e.fit(*frame, dims);
}

void lifetimes() {
  CHECK(lays_out(128, false));
  CHECK(lays_out(0, false)); /* in place of the other */
  CHECK(lays_out(128, true));
  CHECK_THROWS(Format, (void)lays_out(0, true));
  CHECK_THROWS(Format, (void)lays_out(64, true));
}

void floor_division() {
  ProgramBytes p = tests::unary(1);
  const auto size = [&](SizeOp op, std::int64_t a, std::int64_t b) {
    return p.size(op, p.constant_size(a), p.constant_size(b));
  };
  const auto equal = [&](std::uint32_t entry, std::int64_t value) {
    p.constraint(entry, p.constant_size(value));
  };
  equal(size(SizeOp::FloorDiv, -7, 2), -4);
  equal(size(SizeOp::FloorDiv, 7, -2), -4);
  equal(size(SizeOp::FloorDiv, -8, 2), -4);
  equal(size(SizeOp::Mod, -7, 2), 1);
  equal(size(SizeOp::Mod, 7, -2), -1);
  equal(size(SizeOp::Mod, std::numeric_limits<std::int64_t>::min(), -1), 0);
  equal(size(SizeOp::Min, -1, 4), -1);
  equal(size(SizeOp::Max, -1, 4), 4);
  Executable e(p.encode(), kernels, {});
  const Lease frame(e);
  const std::array<std::int64_t, 1> dims{8};
  CHECK(e.fit(*frame, dims));
}

void jumps() {
  ProgramBytes p = tests::unary(1); /* 0: y = 2 x + 1; 1: unless flag go to 3; 2: y = x */
  const std::uint32_t flag =
      p.buffer(BufferKind::Arena, 0, {}, p.constant_size(1), p.constant_size(0), 0);
  const std::uint32_t x_bytes =
      p.buffer(BufferKind::Arena, 0, {}, p.constant_size(4), p.constant_size(0));
  (void)x_bytes;
  p.arena = p.constant_size(64);
  p.jump(3, flag);
  p.copy(1, 0);
  Executable e(p.encode(), kernels, {});
  const std::vector<float> x = ramp(10);
  std::vector<float> y(10);
  for (const std::uint8_t taken : {std::uint8_t{0}, std::uint8_t{1}}) {
    const Lease frame(e);
    const std::array<std::int64_t, 1> dims{10};
    CHECK(e.fit(*frame, dims));
    frame->inputs[0] = const_cast<float *>(x.data()); // NOLINT: kernels take void *
    frame->buffers[1] = y.data();
    symc::Poller idle;
    e.run(*frame, idle); /* places the arena */
    *static_cast<std::uint8_t *>(frame->buffers[flag]) = taken;
    e.run(*frame, idle);
    CHECK(taken == 0 ? is_affine(x, y) : x == y);
  }
}

std::shared_ptr<symc::State> make_state(const std::vector<float> &values) {
  auto state = std::make_shared<symc::State>(
      "w", symc::DType::F32, std::vector<std::int64_t>{static_cast<std::int64_t>(values.size())});
  std::copy(values.begin(), values.end(), static_cast<float *>(state->current()->data()));
  return state;
}

std::vector<float> contents(const symc::State &state) {
  const auto *from = static_cast<const float *>(state.current()->data());
  return {from, from + state.shape()[0]};
}

/* w <- 2 w + 1, by a new buffer or in place; output: the old w. */
ProgramBytes updating(bool in_place, const char *symbol, std::int64_t cost, bool traps) {
  ProgramBytes p;
  const std::uint32_t n = p.size(SizeOp::Dim, p.dim("n"));
  const std::uint32_t bytes = p.size(SizeOp::Mul, n, p.constant_size(4));
  p.arena = p.constant_size(0);
  const std::uint32_t slot = p.state({n});
  const std::uint32_t current = p.buffer(BufferKind::State, slot, {n}, bytes);
  const std::uint32_t old = p.buffer(BufferKind::Output, 0, {n}, bytes);
  p.outputs = {old};
  const std::uint32_t price = p.constant_size(cost);
  p.copy(old, current);
  if (in_place) {
    p.commit();
    p.kernel(symbol, {current, current}, n, price, p.arena);
    p.update(slot, current);
    return p;
  }
  const std::uint32_t staged = p.buffer(BufferKind::Staged, slot, {n}, bytes);
  p.kernel(symbol, {current, staged}, n, price, p.arena, traps);
  p.update(slot, staged);
  return p;
}

/* One call; returns the output. */
std::vector<float> step(Executable &e, symc::Poller poller = {}) {
  symc::StateLocks locks(e.uses());
  locks.acquire(poller);
  const std::int64_t n = e.states()[0]->shape()[0];
  std::vector<float> old(static_cast<std::size_t>(n));
  const Lease frame(e);
  const std::array<std::int64_t, 1> dims{n};
  CHECK(e.fit(*frame, dims));
  frame->buffers[1] = old.data();
  e.run(*frame, poller);
  return old;
}

void updates() {
  for (const bool in_place : {false, true}) {
    const auto w = make_state({1, 2, 3});
    Executable e(updating(in_place, "k", 16, false).encode(), kernels, {w});
    CHECK((step(e) == std::vector<float>{1, 2, 3}));
    CHECK((step(e) == std::vector<float>{3, 5, 7}));
    CHECK((contents(*w) == std::vector<float>{7, 11, 15}));
  }
}

void a_view_keeps_what_it_shows() {
  const auto w = make_state({1, 2, 3});
  Executable e(updating(false, "k", 16, false).encode(), kernels, {w});
  const auto view = w->current();
  for (int i = 0; i < 4; ++i) {
    (void)step(e);
  }
  CHECK(static_cast<const float *>(view->data())[2] == 3);
}

void a_trap_changes_nothing() {
  const auto w = make_state({1, -2, 3, -4});
  Executable e(updating(false, "k", 16, true).encode(), {{"k", trap_negative}}, {w});
  bool raised = false;
  try {
    (void)step(e);
  } catch (const symc::Error &error) {
    raised = error.kind() == symc::ErrorKind::Trap;
    CHECK(error.trap().index == 1 && error.trap().value == -2);
  }
  CHECK(raised && (contents(*w) == std::vector<float>{1, -2, 3, -4}));
}

void a_stop_changes_nothing() {
  const auto w = make_state({1, 2});
  Executable e(updating(false, "k", 1'000'000'000'000, false).encode(), {{"k", wait_for_cancel}},
               {w});
  CHECK_THROWS(Interrupted, (void)step(e, {always, nullptr}));
  CHECK((contents(*w) == std::vector<float>{1, 2}));
  Executable chunks(updating(false, "k", 160'000'000, false).encode(), {{"k", slow_block}},
                    {make_state(ramp(1000))});
  CHECK_THROWS(Interrupted, (void)step(chunks, {always, nullptr}));
}

/* After Commit a stop waits for the end. */
void a_committed_call_is_not_stopped() {
  const auto w = make_state({1, 2, 3});
  Executable e(updating(true, "k", 1'000'000'000, false).encode(), kernels, {w});
  std::vector<float> old = step(e, {always, nullptr});
  CHECK((contents(*w) == std::vector<float>{3, 5, 7}));
}

void slots_and_states() {
  const auto w = make_state({1, 2, 3});
  ProgramBytes p = updating(false, "k", 16, false);
  p.state({0});
  CHECK_THROWS(Value, Executable(p.encode(), kernels, {w, w}));
  CHECK_THROWS(Value, Executable(p.encode(), kernels, {w}));
  CHECK_THROWS(Value, Executable(p.encode(), kernels, {w, nullptr}));
  ProgramBytes readers = tests::unary(1);
  readers.state({0});
  readers.state({0});
  Executable e(readers.encode(), kernels, {w, w});
  CHECK(e.uses().size() == 1 && !e.uses()[0].exclusive);
}

void own_locks() {
  const auto w = make_state({1, 2, 3});
  const std::array<symc::StateUse, 1> writes{symc::StateUse{w.get(), true}};
  const std::array<symc::StateUse, 1> reads{symc::StateUse{w.get(), false}};
  symc::StateLocks first(reads);
  CHECK(first.try_acquire());
  symc::StateLocks second(reads);
  CHECK(second.try_acquire());
  symc::StateLocks third(writes);
  CHECK_THROWS(Busy, (void)third.try_acquire());
  second.release();
  first.release();
  CHECK(third.try_acquire());
  symc::StateLocks fourth(reads);
  CHECK_THROWS(Busy, (void)fourth.try_acquire());
}

/* A thread that takes the lock again and again lets others in. */
void a_loop_of_calls_shuts_nobody_out() {
  const auto u = make_state({1, 2, 3});
  const auto w = make_state({1, 2, 3});
  const std::array<symc::StateUse, 2> both{symc::StateUse{u.get(), true},
                                           symc::StateUse{w.get(), true}};
  std::atomic<bool> stop{false};
  std::thread loop([&] {
    symc::Poller idle;
    symc::StateLocks locks(both);
    while (!stop) {
      locks.acquire(idle);
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      locks.release();
    }
  });
  const std::array<symc::StateUse, 1> reads{symc::StateUse{w.get(), false}};
  for (int round = 0; round < 20; ++round) {
    symc::Poller idle;
    symc::StateLocks locks(round % 2 == 0 ? std::span<const symc::StateUse>(reads) : both);
    locks.acquire(idle);
  }
  stop = true;
  loop.join();
  symc::StateLocks locks(both);
  CHECK(locks.try_acquire()); /* no claim is left */
}

/* A waiter that is told to stop leaves nothing behind. */
void a_stopped_waiter() {
  const auto w = make_state({1});
  const std::array<symc::StateUse, 1> writes{symc::StateUse{w.get(), true}};
  symc::StateLocks held(writes);
  CHECK(held.try_acquire());
  std::thread other([&] {
    int polls = 0;
    symc::Poller stops([](void *count) { return ++*static_cast<int *>(count) > 3; }, &polls);
    symc::StateLocks locks(writes);
    CHECK_THROWS(Interrupted, locks.acquire(stops));
  });
  other.join();
  held.release();
  CHECK(held.try_acquire());
}

/* Increments from many threads: none is lost, and readers see whole vectors. */
void concurrent_updates() {
  constexpr int rounds = 200;
  const auto w = make_state(std::vector<float>(100, 0));
  const auto increment = [](const symc_ctx *, void *const *buf, const std::int64_t *,
                            std::int64_t begin, std::int64_t end) -> std::int32_t {
    for (std::int64_t i = begin; i < end; ++i) {
      static_cast<float *>(buf[1])[i] = static_cast<float *>(buf[0])[i] + 1;
    }
    return SYMC_OK;
  };
  Executable staged(updating(false, "k", 16, false).encode(), {{"k", increment}}, {w});
  Executable in_place(updating(true, "k", 1'000, false).encode(), {{"k", increment}}, {w});
  std::atomic<int> torn{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        const std::vector<float> old = step(t % 2 == 0 ? staged : in_place);
        for (const float value : old) {
          torn += value != old[0] ? 1 : 0;
        }
      }
    });
  }
  for (std::thread &t : threads) {
    t.join();
  }
  CHECK(torn == 0);
  CHECK((contents(*w) == std::vector<float>(100, 4 * rounds)));
}

} // namespace

int main() {
  sizes_and_threads();
  missing_kernel();
  parallel_for_in_a_kernel();
  steady_state();
  sizes_that_do_not_fit();
  lifetimes();
  floor_division();
  jumps();
  updates();
  a_view_keeps_what_it_shows();
  a_trap_changes_nothing();
  a_stop_changes_nothing();
  a_committed_call_is_not_stopped();
  slots_and_states();
  own_locks();
  a_loop_of_calls_shuts_nobody_out();
  a_stopped_waiter();
  concurrent_updates();
  return check::result();
}
