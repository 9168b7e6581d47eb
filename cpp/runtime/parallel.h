/* Parallel loops: a pool of worker threads that start lazily, spin for a while after their last
   work and then sleep.  Each thread has a share of neighbouring chunks, the same ones whenever a
   region of as many blocks runs, so that what it wrote is read where it lies; who has finished
   takes from the far end of the others' shares, so that the caller finishes alone when no worker
   comes; nobody waits for a worker that has not started.  One region runs at a time; a second
   caller, and a nested region, run serially.  A forked child starts with a new pool. */
#ifndef SYMC_PARALLEL_H
#define SYMC_PARALLEL_H

#include <array>
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

/* Chunks [begin, end) that nobody has taken yet, as begin << 32 | end. */
struct alignas(64) Share {
  std::atomic<std::uint64_t> left{0};
};

class Pool {
public:
  /* The pool of this process; null when there is no memory for one. */
  static Pool *instance() noexcept;

  /* Runs the region on at most `threads` threads, the caller included (with its own scratch in
     base).  False: the pool is busy or has no workers, and nothing was run. */
  [[nodiscard]] bool run(const Region &region, unsigned threads, Poller &poller,
                         RegionResult &result);

  /* Whether some worker would start at once: it spins, or is about to. */
  [[nodiscard]] bool awake() const noexcept {
    return static_cast<std::int32_t>(workers_.load(std::memory_order_relaxed)) >
           sleeping_.load(std::memory_order_relaxed);
  }
  /* Whether the cores of caller and worker have no cache in common, as far as is known: what one
     wrote then comes to the other at a fraction of its own speed. */
  [[nodiscard]] bool distant() const noexcept { return distant_.load(std::memory_order_relaxed); }
  /* Asks sleeping workers to wake up and spin. */
  void wake(unsigned threads) noexcept;
  [[nodiscard]] unsigned workers() const noexcept { return workers_.load(); }
  [[nodiscard]] std::uint64_t allocations() const noexcept { return allocations_.load(); }

  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

private:
  static constexpr unsigned most_threads = 256;

  Pool() = default;
  static void replace_after_fork() noexcept;
  static void *start(void *self) noexcept;

  void start_workers(unsigned wanted) noexcept;
  void work() noexcept;
  std::uint32_t wait_for_news(std::uint32_t seen) noexcept;
  [[nodiscard]] bool enter() noexcept;
  void leave() noexcept;
  void close() noexcept;
  void take_part(Memory &scratch, unsigned number) noexcept;
  void measure_distance() noexcept;
  void share_out() noexcept;
  [[nodiscard]] std::int64_t next_chunk(unsigned own) noexcept;
  void chunks(symc_ctx ctx, symc_status &status, Poller *poller, unsigned own) noexcept;
  void finish(const symc_status &status) noexcept;

  std::atomic<bool> busy_{false};
  std::atomic<unsigned> workers_{0};
  std::atomic<unsigned> numbered_{0};
  std::atomic<std::uint32_t> news_{0}; /* changes when there is work */
  std::atomic<std::int32_t> sleeping_{0};
  std::atomic<std::uint32_t> gate_{0}; /* limit << 16 | entered << 1 | open */
  std::atomic<std::uint64_t> allocations_{0};
  std::atomic<bool> distant_{false};
  int trials_left_ = 8; /* to measure the distance */
  alignas(64) std::atomic<std::uint32_t> ping_{0};
  alignas(64) std::atomic<std::uint32_t> pong_{0}; /* what a spinning worker saw last */

  /* The open region; written by the caller before it opens the gate. */
  Region region_{};
  unsigned shares_ = 1;
  std::array<Share, most_threads> share_{};
  std::atomic<bool> cancelled_{false};
  std::atomic<unsigned> took_part_{0};
  std::mutex merge_;
  symc_status status_{};
};

/* Blocks of a chunk, from what symc_parallel_for is given. */
[[nodiscard]] std::int64_t chunk_of(std::int64_t grain, std::int64_t blocks,
                                    unsigned threads) noexcept;

/* The expected time of all blocks on one thread, from the same; the largest number where it is not
   given. */
[[nodiscard]] std::int64_t expected_ns(std::int64_t grain) noexcept;

/* symc_ctx.parallel_for of a thread that is already inside a region. */
std::int32_t serial_for(const symc_ctx *ctx, symc_kernel kernel, void *const *buffers,
                        const std::int64_t *dims, std::int64_t blocks, std::int64_t grain);

} // namespace symc

#endif
