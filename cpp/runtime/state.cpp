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

bool StateLock::try_lock(bool exclusive) noexcept {
  const std::uint64_t now = std::uint64_t{fork_generation()} << 32;
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint64_t count = (word & ~count_mask) == now ? word & count_mask : 0;
    if (exclusive ? count != 0 : count >= writer - 1) {
      return false;
    }
    const std::uint64_t next = now | (exclusive ? writer : count + 1);
    if (word_.compare_exchange_weak(word, next, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
}

void StateLock::unlock(bool exclusive) noexcept {
  word_.fetch_sub(exclusive ? writer : 1, std::memory_order_release);
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
    if (uses_[i].state->lock.try_lock(uses_[i].exclusive)) {
      continue;
    }
    while (i-- > 0) {
      uses_[i].state->lock.unlock(uses_[i].exclusive);
    }
    return false;
  }
  held_ = true;
  outer_ = innermost;
  innermost = this;
  return true;
}

void StateLocks::acquire(Poller &poller) {
  constexpr int spins = 64;
  for (int tries = 0; !try_acquire(); ++tries) {
    if (poller.stop()) {
      throw Error(ErrorKind::Interrupted, "interrupted");
    }
    if (tries < spins) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(std::min(tries, 500)));
    }
  }
}

void StateLocks::release() noexcept {
  if (!held_) {
    return;
  }
  for (const StateUse &use : uses_) {
    use.state->lock.unlock(use.exclusive);
  }
  held_ = false;
  innermost = outer_;
}

} // namespace symc
