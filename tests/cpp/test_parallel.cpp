/* The pool: every block once, whatever the number of threads, chunk size, nesting or concurrency.
 */
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <limits>
#include <thread>
#include <vector>

#include "check.h"
#include "parallel.h"

namespace {

/* buf[0]: a counter per block.  dim[0]: trap at blocks that are multiples of it, from there on. */
std::int32_t count_blocks(const symc_ctx *ctx, void *const *buf, const std::int64_t *dim,
                          std::int64_t begin, std::int64_t end) {
  auto *counts = static_cast<std::atomic<int> *>(buf[0]);
  for (std::int64_t i = begin; i < end; ++i) {
    counts[i].fetch_add(1, std::memory_order_relaxed);
    if (dim[0] != 0 && i >= dim[0] && i % dim[0] == 0 && ctx->status->code == 0) {
      *ctx->status = {1, 7, 0, i, -i};
    }
  }
  return ctx->status->code != 0 ? SYMC_TRAPPED : SYMC_OK;
}

/* Runs count_blocks over dim[1] blocks from inside a region. */
std::int32_t nested(const symc_ctx *ctx, void *const *buf, const std::int64_t *dim,
                    std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) {
    (void)ctx->parallel_for(ctx, count_blocks, buf, dim, dim[1], 3);
  }
  return SYMC_OK;
}

std::int32_t use_scratch(const symc_ctx *ctx, void *const *buf, const std::int64_t *,
                         std::int64_t begin, std::int64_t end) {
  auto *scratch = static_cast<std::int64_t *>(ctx->scratch);
  auto *out = static_cast<std::int64_t *>(buf[0]);
  for (std::int64_t i = begin; i < end; ++i) {
    for (std::int64_t k = 0; k < 64; ++k) {
      scratch[k] = i + k;
    }
    out[i] = scratch[0] + scratch[63];
  }
  return ctx->scratch_bytes >= 512 ? SYMC_OK : SYMC_CANCELLED;
}

std::int32_t cancel_at_ten(const symc_ctx *, void *const *buf, const std::int64_t *,
                           std::int64_t begin, std::int64_t end) {
  static_cast<std::atomic<int> *>(buf[0])->fetch_add(1);
  return begin <= 10 && 10 < end ? SYMC_CANCELLED : SYMC_OK;
}

struct Case {
  std::int64_t blocks;
  std::int64_t grain;
  unsigned threads;
};

symc_ctx context(symc_status &status) {
  symc_ctx ctx{};
  ctx.status = &status;
  ctx.parallel_for = symc::serial_for;
  return ctx;
}

bool each_block_once(const Case &c, std::int64_t trap_every) {
  std::vector<std::atomic<int>> counts(static_cast<std::size_t>(c.blocks));
  void *buffers[] = {counts.data()};
  const std::int64_t dims[] = {trap_every};
  symc_status status{};
  const symc_ctx ctx = context(status);
  symc::Poller idle;
  symc::RegionResult result;
  const symc::Region region{count_blocks, buffers, dims, c.blocks, c.grain, 0, &ctx};
  if (!symc::Pool::instance()->run(region, c.threads, idle, result)) {
    (void)symc::serial_for(&ctx, count_blocks, buffers, dims, c.blocks, c.grain);
    result.status = status;
  }
  const bool trap = trap_every != 0 && c.blocks > trap_every;
  CHECK(result.threads >= 1 && result.threads <= c.threads);
  CHECK((result.status.code != 0) == trap);
  CHECK(!trap || (result.status.index == trap_every && result.status.value == -trap_every));
  for (const auto &count : counts) {
    if (count.load() != 1) {
      return false;
    }
  }
  return true;
}

void regions() {
  for (const std::int64_t blocks : {1, 2, 7, 64, 1000}) {
    for (const std::int64_t grain : {1, 3, 64, 5000}) {
      for (const unsigned threads : {1U, 2U, 5U}) {
        CHECK(each_block_once({blocks, grain, threads}, 0));
        CHECK(each_block_once({blocks, grain, threads}, 13));
      }
    }
  }
}

/* Workers fall asleep between the rounds and are woken again. */
void sleeping_workers() {
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(each_block_once({300, 1, 3}, 0));
    symc::Pool::instance()->wake(3);
  }
}

void nesting() {
  std::vector<std::atomic<int>> counts(40);
  void *buffers[] = {counts.data()};
  const std::int64_t dims[] = {0, 40};
  symc_status status{};
  const symc_ctx ctx = context(status);
  symc::Poller idle;
  symc::RegionResult result;
  const symc::Region region{nested, buffers, dims, 25, 1, 0, &ctx};
  CHECK(symc::Pool::instance()->run(region, 3, idle, result));
  for (const auto &count : counts) {
    CHECK(count.load() == 25);
  }
}

void scratch_memory() {
  std::vector<std::int64_t> out(500);
  std::vector<std::int64_t> own(64);
  void *buffers[] = {out.data()};
  symc_status status{};
  symc_ctx ctx = context(status);
  ctx.scratch = own.data();
  ctx.scratch_bytes = 512;
  symc::Poller idle;
  symc::RegionResult result;
  const symc::Region region{use_scratch, buffers, nullptr, 500, 2, 512, &ctx};
  CHECK(symc::Pool::instance()->run(region, 4, idle, result));
  CHECK(!result.cancelled);
  for (std::int64_t i = 0; i < 500; ++i) {
    CHECK(out[static_cast<std::size_t>(i)] == 2 * i + 63);
  }
}

void cancellation() {
  std::atomic<int> chunks{0};
  void *buffers[] = {&chunks};
  symc_status status{};
  const symc_ctx ctx = context(status);
  symc::Poller idle;
  symc::RegionResult result;
  const symc::Region region{cancel_at_ten, buffers, nullptr, 1'000'000, 1, 0, &ctx};
  CHECK(symc::Pool::instance()->run(region, 2, idle, result));
  CHECK(result.cancelled && chunks.load() < 1'000'000);
}

void many_callers() {
  std::vector<std::thread> callers;
  std::atomic<int> good{0};
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&good] {
      for (int round = 0; round < 60; ++round) {
        good += each_block_once({200, 3, 3}, 50) ? 1 : 0;
      }
    });
  }
  for (std::thread &caller : callers) {
    caller.join();
  }
  CHECK(good == 360);
}

/* A child has no workers of its parent's; it starts its own. */
[[maybe_unused]] void fork_with_workers() {
  for (int round = 0; round < 10; ++round) {
    CHECK(each_block_once({100, 1, 3}, 0));
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      const bool good = each_block_once({100, 1, 3}, 0) && each_block_once({100, 7, 2}, 30);
      _exit(good && check::failures == 0 ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
}

void first_trap() {
  symc_status first{};
  symc::merge_status(first, {0, 1, 1, 1, 1});
  CHECK(first.code == 0);
  symc::merge_status(first, {1, 5, 2, 9, 0});
  symc::merge_status(first, {1, 5, 2, 11, 0});
  CHECK(first.index == 9);
  symc::merge_status(first, {1, 5, 1, 100, 0});
  CHECK(first.step == 1);
  symc::merge_status(first, {2, 4, 7, 100, 0});
  CHECK(first.node == 4 && first.code == 2);
}

/* One chunk for each thread, none longer than what was asked for. */
void even_chunks() {
  CHECK(symc::chunk_of(7, 100, 2) == 7);
  CHECK(symc::chunk_of(0, 100, 2) == 1);
  CHECK(symc::chunk_of(-1000, 100, 1) == 100);
  CHECK(symc::chunk_of(-1000, 101, 2) == 51);
  CHECK(symc::chunk_of(-10, 101, 2) == 10);
  CHECK(symc::chunk_of(-1000, 0, 2) == 1);
  constexpr std::int64_t micro = std::int64_t{1000} << 32;
  CHECK(symc::chunk_of(-10 - 3 * micro, 101, 2) == 10);
  CHECK(symc::expected_ns(-10 - 3 * micro) == 3000);
  CHECK(symc::expected_ns(-10) == 0);
  CHECK(symc::expected_ns(10) == std::numeric_limits<std::int64_t>::max());
}

} // namespace

int main() {
  first_trap();
#if !defined(__SANITIZE_THREAD__) /* a process with threads cannot fork under that tool */
  fork_with_workers();
#endif
  regions();
  sleeping_workers();
  nesting();
  scratch_memory();
  cancellation();
  many_callers();
  even_chunks();
  return check::result();
}
