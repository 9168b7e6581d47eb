/* Shared variables: a current buffer, a spare for staged updates, and a lock.

   Locks are taken in creation order for the duration of one call: shared by calls that only read,
   exclusive by calls that update.  A lock records the fork generation in which it was taken, so
   that a child process finds free what a thread of its parent held. */
#ifndef SYMC_STATE_H
#define SYMC_STATE_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory.h"
#include "poll.h"
#include "program.h"

namespace symc {

/* A reader-writer lock that survives fork.  Who has waited long claims it: then nobody else gets it
   before, so that a loop of calls cannot shut out another thread. */
class StateLock {
public:
  using Token = std::uint32_t; /* of one waiter; 0: does not wait */

  [[nodiscard]] bool try_lock(bool exclusive, Token token = 0) noexcept;
  void unlock(bool exclusive) noexcept;
  /* Does nothing when another waiter has claimed it; taking the lock ends the claim. */
  void claim(Token token) noexcept;
  void disclaim(Token token) noexcept;

private:
  std::atomic<std::uint64_t> word_{0};  /* generation << 32 | readers, or `writer` */
  std::atomic<std::uint64_t> claim_{0}; /* generation << 32 | token */
};

class State {
public:
  State(std::string name, DType dtype, std::vector<std::int64_t> shape);

  [[nodiscard]] const std::string &name() const noexcept { return name_; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] std::uint64_t serial() const noexcept { return serial_; }

  /* The rest needs the lock. */
  [[nodiscard]] const std::vector<std::int64_t> &shape() const noexcept { return shape_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] const std::shared_ptr<Memory> &current() const noexcept { return current_; }
  /* The buffer for new contents: `bytes()` long and seen by nobody else; true: allocated. */
  bool prepare_spare();
  [[nodiscard]] void *spare() const noexcept { return spare_->data(); }
  void swap() noexcept { current_.swap(spare_); }
  /* New contents with a new shape of the same rank. */
  void replace(std::shared_ptr<Memory> contents, std::span<const std::int64_t> shape);

  StateLock lock;

private:
  std::string name_;
  DType dtype_;
  std::vector<std::int64_t> shape_;
  std::size_t bytes_ = 0;
  std::shared_ptr<Memory> current_;
  std::shared_ptr<Memory> spare_;
  std::uint64_t serial_;
};

struct StateUse {
  State *state;
  bool exclusive;
};

/* Holds the locks of one call; `uses` are in creation order, each state once. */
class StateLocks {
public:
  explicit StateLocks(std::span<const StateUse> uses) noexcept : uses_(uses) {}
  ~StateLocks() { release(); }
  StateLocks(const StateLocks &) = delete;
  StateLocks &operator=(const StateLocks &) = delete;

  /* All or none, without waiting.  Throws Error(Busy) when this thread itself holds one of them in
     a way that could never end. */
  [[nodiscard]] bool try_acquire();
  /* Waits for one after the other, which cannot deadlock as all do it in creation order; throws
     Error(Interrupted) when the poll asks to stop. */
  void acquire(Poller &poller);
  void release() noexcept;

private:
  void refuse_own() const;
  void wait(const StateUse &use, Poller &poller) const;
  void unlock(std::size_t count) noexcept;
  void hold() noexcept;

  std::span<const StateUse> uses_;
  bool held_ = false;
  const StateLocks *outer_ = nullptr;
};

/* Counts forks: set up by the first lock. */
[[nodiscard]] std::uint32_t fork_generation() noexcept;

} // namespace symc

#endif
