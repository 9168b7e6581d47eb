/* The pool.  The gate is one word (limit, entered, open): a worker enters only while it is open and
   below the limit, so the caller, after closing it, waits only for workers that are inside. */
#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>
#include <tuple>

#include "error.h"

namespace symc {
namespace {

constexpr std::uint32_t open_bit = 1;
constexpr std::uint32_t one_entered = 2;
constexpr std::uint32_t entered_mask = 0xfffe;
constexpr unsigned limit_shift = 16;
/* Round trips of one word between cores: about 100 ns through a cache, from 400 ns without. */
constexpr std::chrono::nanoseconds distant_trip{250};
constexpr std::chrono::microseconds lost_trip{3};
constexpr std::uint32_t trips = 8;
constexpr unsigned share_bits = 32;
constexpr std::int64_t low_half = (std::int64_t{1} << share_bits) - 1;
constexpr std::int64_t most_chunks = std::int64_t{1} << 30;
constexpr std::size_t stack_bytes = std::size_t{1} << 20;
constexpr std::chrono::microseconds spin_time{150};

std::atomic<Pool *> current{nullptr};

inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield");
#endif
}

} // namespace

void merge_status(symc_status &first, const symc_status &other) noexcept {
  if (other.code == 0) {
    return;
  }
  const auto place = [](const symc_status &s) { return std::tuple(s.node, s.step, s.index); };
  if (first.code == 0 || place(other) < place(first)) {
    first = other;
  }
}

unsigned usable_cpus() noexcept {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) {
    return 1;
  }
  return static_cast<unsigned>(std::max(CPU_COUNT(&set), 1));
}

std::int64_t chunk_of(std::int64_t grain, std::int64_t blocks, unsigned threads) noexcept {
  if (grain >= 0) {
    return std::max(grain, std::int64_t{1});
  }
  const std::int64_t most = std::clamp(-grain & low_half, std::int64_t{1}, most_chunks);
  return std::clamp((blocks + threads - 1) / threads, std::int64_t{1}, most);
}

std::int64_t expected_ns(std::int64_t grain) noexcept {
  return grain < 0 ? -grain >> share_bits : std::numeric_limits<std::int64_t>::max();
}

std::int32_t serial_for(const symc_ctx *ctx, symc_kernel kernel, void *const *buffers,
                        const std::int64_t *dims, std::int64_t blocks, std::int64_t grain) {
  grain = chunk_of(grain, blocks, 1);
  std::int32_t result = SYMC_OK;
  for (std::int64_t at = 0; at < blocks; at += grain) {
    const std::int32_t code = kernel(ctx, buffers, dims, at, std::min(at + grain, blocks));
    if (code == SYMC_CANCELLED) {
      return code;
    }
    result = std::max(result, code);
  }
  return result;
}

Pool *Pool::instance() noexcept {
  Pool *pool = current.load(std::memory_order_acquire);
  if (pool != nullptr) {
    return pool;
  }
  static const int registered = pthread_atfork(nullptr, nullptr, replace_after_fork);
  if (registered != 0) {
    return nullptr;
  }
  Pool *made = new (std::nothrow) Pool;
  if (made != nullptr && !current.compare_exchange_strong(pool, made)) {
    delete made;
    return pool;
  }
  return made;
}

/* The threads of the parent do not exist here, and its pool may be in any state: it is left. */
void Pool::replace_after_fork() noexcept { current.store(nullptr, std::memory_order_release); }

void *Pool::start(void *self) noexcept {
  static_cast<Pool *>(self)->work();
  return nullptr;
}

/* Signals are the main thread's affair: workers block them all.  Fewer workers than wanted is fine.
 */
void Pool::start_workers(unsigned wanted) noexcept {
  wanted = std::min(wanted, most_threads - 1);
  if (workers_.load(std::memory_order_relaxed) >= wanted) {
    return;
  }
  sigset_t all;
  sigset_t before;
  pthread_attr_t attributes;
  sigfillset(&all);
  if (pthread_attr_init(&attributes) != 0) {
    return;
  }
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (workers_.load(std::memory_order_relaxed) < wanted) {
    pthread_t thread{};
    if (pthread_create(&thread, &attributes, start, this) != 0) {
      break;
    }
    workers_.fetch_add(1, std::memory_order_relaxed);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
}

void Pool::work() noexcept {
  Memory scratch;
  std::uint32_t seen = 0;
  const unsigned number = numbered_.fetch_add(1, std::memory_order_relaxed) + 1;
  for (;;) {
    if (enter()) {
      take_part(scratch, number);
      leave();
    }
    seen = wait_for_news(seen);
  }
}

std::uint32_t Pool::wait_for_news(std::uint32_t seen) noexcept {
  const auto until = std::chrono::steady_clock::now() + spin_time;
  std::uint32_t now = news_.load(std::memory_order_acquire);
  while (now == seen && std::chrono::steady_clock::now() < until) {
    for (int i = 0; i < 16 && now == seen; ++i) {
      pause();
      now = news_.load(std::memory_order_acquire);
      const std::uint32_t ping = ping_.load(std::memory_order_relaxed);
      if (ping != pong_.load(std::memory_order_relaxed)) {
        pong_.store(ping, std::memory_order_relaxed);
      }
    }
  }
  if (now == seen) {
    sleeping_.fetch_add(1);
    news_.wait(seen);
    sleeping_.fetch_sub(1);
    now = news_.load(std::memory_order_acquire);
  }
  return now;
}

bool Pool::enter() noexcept {
  std::uint32_t gate = gate_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint32_t entered = (gate & entered_mask) / one_entered;
    if ((gate & open_bit) == 0 || entered >= gate >> limit_shift) {
      return false;
    }
    if (gate_.compare_exchange_weak(gate, gate + one_entered, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
}

void Pool::leave() noexcept {
  const std::uint32_t before = gate_.fetch_sub(one_entered, std::memory_order_acq_rel);
  if ((before & open_bit) == 0 && (before & entered_mask) == one_entered) {
    gate_.notify_all();
  }
}

void Pool::close() noexcept {
  std::uint32_t gate = gate_.fetch_and(~open_bit, std::memory_order_acq_rel) & ~open_bit;
  for (int spins = 0; (gate & entered_mask) != 0; ++spins) {
    if (spins < 20'000) {
      pause();
    } else {
      gate_.wait(gate);
    }
    gate = gate_.load(std::memory_order_acquire);
  }
}

/* A worker without memory for its scratch leaves the work to the others. */
void Pool::take_part(Memory &scratch, unsigned number) noexcept {
  try {
    if (scratch.reserve(region_.scratch)) {
      allocations_.fetch_add(1, std::memory_order_relaxed);
    }
  } catch (const Error &) {
    return;
  }
  symc_status status{};
  symc_ctx ctx = *region_.base;
  ctx.status = &status;
  ctx.parallel_for = serial_for;
  ctx.scratch = scratch.data();
  ctx.scratch_bytes = static_cast<std::int64_t>(scratch.size());
  chunks(ctx, status, nullptr, number % shares_);
  finish(status);
}

void Pool::finish(const symc_status &status) noexcept {
  if (status.code == 0) {
    return;
  }
  const std::scoped_lock lock(merge_);
  merge_status(status_, status);
}

/* The mean of a few round trips in a row; a trial in which the worker is held up tells nothing. */
void Pool::measure_distance() noexcept {
  --trials_left_;
  std::uint32_t number = ping_.load(std::memory_order_relaxed);
  std::chrono::steady_clock::time_point start{};
  for (std::uint32_t trip = 0; trip <= trips; ++trip) {
    const auto sent = std::chrono::steady_clock::now();
    if (trip == 1) {
      start = sent;
    }
    ping_.store(++number, std::memory_order_relaxed);
    while (pong_.load(std::memory_order_relaxed) != number) {
      if (std::chrono::steady_clock::now() - sent > lost_trip) {
        return;
      }
    }
  }
  const bool far = std::chrono::steady_clock::now() - start > trips * distant_trip;
  distant_.store(far, std::memory_order_relaxed);
  trials_left_ = far ? trials_left_ : 0;
}

void Pool::share_out() noexcept {
  region_.grain = std::max(region_.grain, (region_.blocks + most_chunks - 1) / most_chunks);
  const auto chunks = static_cast<std::uint64_t>(region_.blocks / region_.grain +
                                                 (region_.blocks % region_.grain != 0 ? 1 : 0));
  for (std::uint64_t s = 0; s < shares_; ++s) {
    const std::uint64_t begin = chunks * s / shares_;
    const std::uint64_t end = chunks * (s + 1) / shares_;
    share_[s].left.store(begin << share_bits | end, std::memory_order_relaxed);
  }
}

/* The front of the own share, else the back of another; -1: there are none. */
std::int64_t Pool::next_chunk(unsigned own) noexcept {
  constexpr std::uint64_t low = (std::uint64_t{1} << share_bits) - 1;
  for (unsigned i = 0; i < shares_; ++i) {
    std::atomic<std::uint64_t> &share = share_[(own + i) % shares_].left;
    std::uint64_t left = share.load(std::memory_order_relaxed);
    while (left >> share_bits < (left & low)) {
      const std::uint64_t rest = i == 0 ? left + (low + 1) : left - 1;
      if (share.compare_exchange_weak(left, rest, std::memory_order_relaxed)) {
        return static_cast<std::int64_t>(i == 0 ? left >> share_bits : (left & low) - 1);
      }
    }
  }
  return -1;
}

/* Takes chunks until there are none.  Each starts with a clean record, so that a kernel need not
   compare what it finds there. */
void Pool::chunks(symc_ctx ctx, symc_status &status, Poller *poller, unsigned own) noexcept {
  symc_status chunk{};
  bool worked = false;
  ctx.status = &chunk;
  while (!cancelled_.load(std::memory_order_relaxed)) {
    const std::int64_t number = next_chunk(own);
    if (number < 0) {
      break;
    }
    worked = true;
    const std::int64_t at = number * region_.grain;
    const std::int64_t end = std::min(at + region_.grain, region_.blocks);
    const std::int32_t code = region_.kernel(&ctx, region_.buffers, region_.dims, at, end);
    merge_status(status, chunk);
    chunk.code = 0;
    if (code == SYMC_CANCELLED || (poller != nullptr && poller->stop())) {
      cancelled_.store(true, std::memory_order_relaxed);
    }
  }
  took_part_.fetch_add(worked ? 1 : 0, std::memory_order_relaxed);
}

void Pool::wake(unsigned threads) noexcept {
  if (threads < 2 || busy_.exchange(true, std::memory_order_acquire)) {
    return;
  }
  start_workers(threads - 1);
  news_.fetch_add(1);
  if (sleeping_.load() > 0) {
    news_.notify_all();
  }
  busy_.store(false, std::memory_order_release);
}

bool Pool::run(const Region &region, unsigned threads, Poller &poller, RegionResult &result) {
  if (busy_.exchange(true, std::memory_order_acquire)) {
    return false;
  }
  start_workers(threads - 1);
  const unsigned limit = std::min(workers_.load(std::memory_order_relaxed), threads - 1);
  region_ = region;
  shares_ = limit + 1;
  share_out();
  cancelled_.store(false, std::memory_order_relaxed);
  took_part_.store(0, std::memory_order_relaxed);
  status_ = symc_status{};
  gate_.store(limit << limit_shift | open_bit, std::memory_order_release);
  news_.fetch_add(1);
  if (sleeping_.load() > 0) {
    news_.notify_all();
  }
  symc_ctx ctx = *region.base;
  ctx.parallel_for = serial_for;
  chunks(ctx, result.status, &poller, 0);
  close();
  if (trials_left_ > 0 && limit > 0) {
    measure_distance();
  }
  merge_status(result.status, status_);
  result.cancelled = cancelled_.load(std::memory_order_relaxed);
  result.threads = std::max(took_part_.load(std::memory_order_relaxed), 1U);
  busy_.store(false, std::memory_order_release);
  return true;
}

} // namespace symc
