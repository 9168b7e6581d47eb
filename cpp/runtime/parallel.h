/* Parallel loops: a pool of worker threads that start lazily, spin for about 50 us after their last
   work and then sleep.  Chunks are handed out from an atomic counter, so that the caller finishes
   alone when no worker comes; nobody waits for a worker that has not started.  One region runs at a
   time; a second caller, and a nested region, run serially.  A forked child starts with a new pool.
 */
#ifndef SYMC_PARALLEL_H
#define SYMC_PARALLEL_H

#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>

#include "memory.h"
#include "poll.h"
#include "symc.h"

namespace symc {

/* Keeps in `first` whichever of two records comes first in program order. */
void merge_status(symc_status &first, const symc_status &other) noexcept;

/* CPUs that this process may use (affinity), at least 1. */
[[nodiscard]] unsigned usable_cpus() noexcept;

/* A range of blocks to run in chunks of `grain`. */
struct Region {
  symc_kernel kernel;
  void *const *buffers;
  const std::int64_t *dims;
  std::int64_t blocks;
  std::int64_t grain;
  std::size_t scratch;  /* bytes that each thread needs */
  const symc_ctx *base; /* what workers copy: cancel flag, contractions */
};

struct RegionResult {
  bool cancelled = false;
  unsigned threads = 1; /* that took part */
  symc_status status{}; /* first trap */
};

class Pool {
public:
  /* The pool of this process; null when there is no memory for one. */
  static Pool *instance() noexcept;

  /* Runs the region on at most `threads` threads, the caller included (with its own scratch in
     base).  False: the pool is busy or has no workers, and nothing was run. */
  [[nodiscard]] bool run(const Region &region, unsigned threads, Poller &poller,
                         RegionResult &result);

  /* Whether some worker would start at once. */
  [[nodiscard]] bool awake() const noexcept {
    return spinning_.load(std::memory_order_relaxed) > 0;
  }
  /* Asks sleeping workers to wake up and spin. */
  void wake(unsigned threads) noexcept;
  [[nodiscard]] unsigned workers() const noexcept { return workers_.load(); }
  [[nodiscard]] std::uint64_t allocations() const noexcept { return allocations_.load(); }

  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

private:
  Pool() = default;
  static void replace_after_fork() noexcept;
  static void *start(void *self) noexcept;

  void start_workers(unsigned wanted) noexcept;
  void work() noexcept;
  std::uint32_t wait_for_news(std::uint32_t seen) noexcept;
  [[nodiscard]] bool enter() noexcept;
  void leave() noexcept;
  void close() noexcept;
  void take_part(Memory &scratch) noexcept;
  void chunks(symc_ctx ctx, symc_status &status, Poller *poller) noexcept;
  void finish(const symc_status &status) noexcept;

  std::atomic<bool> busy_{false};
  std::atomic<unsigned> workers_{0};
  std::atomic<std::uint32_t> news_{0}; /* changes when there is work */
  std::atomic<std::int32_t> spinning_{0};
  std::atomic<std::int32_t> sleeping_{0};
  std::atomic<std::uint32_t> gate_{0}; /* limit << 16 | entered << 1 | open */
  std::atomic<std::uint64_t> allocations_{0};

  /* The open region; written by the caller before it opens the gate. */
  Region region_{};
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> cancelled_{false};
  std::atomic<unsigned> took_part_{0};
  std::mutex merge_;
  symc_status status_{};
};

/* symc_ctx.parallel_for of a thread that is already inside a region. */
std::int32_t serial_for(const symc_ctx *ctx, symc_kernel kernel, void *const *buffers,
                        const std::int64_t *dims, std::int64_t blocks, std::int64_t grain);

} // namespace symc

#endif
