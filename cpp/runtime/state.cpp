/* Shared variables and their locks. */
#include "state.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "error.h"

namespace symc {
namespace {

constexpr std::uint64_t writer = 0xffffffffU;
constexpr std::uint64_t count_mask = 0xffffffffU;

std::atomic<std::uint32_t> generation{0};

void count_fork() { generation.fetch_add(1, std::memory_order_relaxed); }

/* What this thread holds, innermost first. */
thread_local const StateLocks *innermost = nullptr;

std::uint64_t array_bytes(DType dtype, std::span<const std::int64_t> shape) {
  std::int64_t bytes = item_size(dtype);
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes)) {
      throw Error(ErrorKind::Memory, "the size of a shared variable is above 2**63 - 1");
    }
  }
  return static_cast<std::uint64_t>(bytes);
}

} // namespace

std::uint32_t fork_generation() noexcept {
  static const int registered = pthread_atfork(nullptr, nullptr, count_fork);
  (void)registered; /* without memory for the handler, a child may wait for its parent's locks */
  return generation.load(std::memory_order_relaxed);
}

bool StateLock::try_lock(bool exclusive, Token token) noexcept {
  const std::uint64_t now = std::uint64_t{fork_generation()} << 32;
  std::uint64_t claim = claim_.load(std::memory_order_relaxed);
  const bool claimed = (claim & ~count_mask) == now && (claim & count_mask) != 0;
  if (claimed && (claim & count_mask) != token) {
    return false;
  }
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t count = (word & ~count_mask) == now ? word & count_mask : 0;
    if (exclusive ? count != 0 : count >= writer - 1) {
      return false;
    }
    const std::uint64_t next = now | (exclusive ? writer : count + 1);
    if (word_.compare_exchange_weak(word, next, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      break;
    }
  }
  if (claimed) {
    disclaim(token);
  }
  return true;
}

void StateLock::unlock(bool exclusive) noexcept {
  word_.fetch_sub(exclusive ? writer : 1, std::memory_order_release);
}

void StateLock::claim(Token token) noexcept {
  const std::uint64_t now = std::uint64_t{fork_generation()} << 32;
  std::uint64_t claim = claim_.load(std::memory_order_relaxed);
  const bool claimed = (claim & ~count_mask) == now && (claim & count_mask) != 0;
  if (!claimed) {
    (void)claim_.compare_exchange_strong(claim, now | token, std::memory_order_relaxed);
  }
}

void StateLock::disclaim(Token token) noexcept {
  std::uint64_t mine = std::uint64_t{fork_generation()} << 32 | token;
  (void)claim_.compare_exchange_strong(mine, 0, std::memory_order_relaxed);
}

State::State(std::string name, DType dtype, std::vector<std::int64_t> shape)
    : name_(std::move(name)), dtype_(dtype), shape_(std::move(shape)),
      bytes_(array_bytes(dtype_, shape_)), current_(std::make_shared<Memory>(bytes_)) {
  static std::atomic<std::uint64_t> created{0};
  serial_ = created.fetch_add(1, std::memory_order_relaxed);
}

bool State::prepare_spare() {
  if (spare_ != nullptr && spare_.use_count() == 1 && spare_->size() >= bytes_) {
    return false;
  }
  spare_ = std::make_shared<Memory>(bytes_);
  return true;
}

void State::replace(std::shared_ptr<Memory> contents, std::span<const std::int64_t> shape) {
  const std::uint64_t bytes = array_bytes(dtype_, shape);
  if (shape.size() != shape_.size() || contents->size() < bytes) {
    throw Error(ErrorKind::Shape, "new contents of a shared variable have another rank or size");
  }
  std::ranges::copy(shape, shape_.begin());
  bytes_ = bytes;
  current_ = std::move(contents);
}

void StateLocks::refuse_own() const {
  for (const StateLocks *held = innermost; held != nullptr; held = held->outer_) {
    for (const StateUse &mine : held->uses_) {
      const auto clash = [&](const StateUse &u) {
        return u.state == mine.state && (u.exclusive || mine.exclusive);
      };
      if (std::ranges::any_of(uses_, clash)) {
        throw Error(ErrorKind::Busy, "shared variable " + mine.state->name() +
                                         " is in use by a call of this thread");
      }
    }
  }
}

bool StateLocks::try_acquire() {
  if (uses_.empty()) {
    return true;
  }
  if (innermost != nullptr) {
    refuse_own();
  }
  for (std::size_t i = 0; i < uses_.size(); ++i) {
    if (!uses_[i].state->lock.try_lock(uses_[i].exclusive)) {
      unlock(i);
      return false;
    }
  }
  hold();
  return true;
}

void StateLocks::acquire(Poller &poller) {
  if (try_acquire()) {
    return;
  }
  for (std::size_t i = 0; i < uses_.size(); ++i) {
    try {
      wait(uses_[i], poller);
    } catch (...) {
      unlock(i);
      throw;
    }
  }
  hold();
}

void StateLocks::wait(const StateUse &use, Poller &poller) const {
  static std::atomic<StateLock::Token> waiters{0};
  constexpr int spins = 64;
  constexpr int patience = 200;
  StateLock &lock = use.state->lock;
  const StateLock::Token token =
      waiters.fetch_add(1, std::memory_order_relaxed) | 0x80000000U; /* never 0 */
  for (int tries = 0; !lock.try_lock(use.exclusive, token); ++tries) {
    if (poller.stop()) {
      lock.disclaim(token);
      throw Error(ErrorKind::Interrupted, "interrupted");
    }
    if (tries < spins) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(tries, 100)));
    }
    if (tries > patience) {
      lock.claim(token);
    }
  }
}

void StateLocks::hold() noexcept {
  held_ = true;
  outer_ = innermost;
  innermost = this;
}

void StateLocks::unlock(std::size_t count) noexcept {
  for (const StateUse &use : uses_.first(count)) {
    use.state->lock.unlock(use.exclusive);
  }
}

void StateLocks::release() noexcept {
  if (!held_) {
    return;
  }
  unlock(uses_.size());
  held_ = false;
  innermost = outer_;
}

} // namespace symc
