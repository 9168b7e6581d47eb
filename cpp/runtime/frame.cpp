/* A call in flight, and what generated code asks of it: help with a loop, room on a tape, whether
   to go on. */
#include <algorithm>
#include <cstring>

#include "vm.h"

namespace symc {

Frame::Frame(const Program &program)
    : inputs(program.inputs.size()), buffers(program.buffers.size()) {
  prepare_layout(program, layout);
  std::size_t most = 0;
  for (const Instruction &i : program.code) {
    most = std::max(most, i.buffers.size());
  }
  arguments_.resize(most);
}

namespace {

/* Between cores without a common cache, handing over a shorter step of a loop costs more. */
constexpr std::int64_t worth_handing_over_ns = 6'000;

/* Loops pause about this often; a pause costs some 50 ns. */
constexpr std::int64_t pause_ns = 100'000;
constexpr std::int64_t largest_grant = std::int64_t{1} << 20;

/* The blocks one after another, asking between chunks whether to go on. */
std::int32_t polled_for(const Region &r, Poller &poller) {
  std::int32_t result = SYMC_OK;
  for (std::int64_t at = 0; at < r.blocks; at += r.grain) {
    const std::int64_t end = std::min(at + r.grain, r.blocks);
    const std::int32_t code = r.kernel(r.base, r.buffers, r.dims, at, end);
    if (code == SYMC_CANCELLED || poller.stop()) {
      return SYMC_CANCELLED;
    }
    result = std::max(result, code);
  }
  return result;
}

} // namespace

/* symc_ctx.parallel_for outside regions: shares when workers are there, else runs here. */
std::int32_t parallel_for(const symc_ctx *ctx, symc_kernel kernel, void *const *buffers,
                          const std::int64_t *dims, std::int64_t blocks, std::int64_t grain) {
  Frame &frame = *reinterpret_cast<const CallContext *>(ctx)->frame;
  const std::int64_t chunk = chunk_of(grain, blocks, frame.threads_);
  Pool *pool = frame.threads_ > 1 && blocks > chunk ? Pool::instance() : nullptr;
  if (pool != nullptr && pool->distant() && expected_ns(grain) < worth_handing_over_ns) {
    pool = nullptr;
  }
  RegionResult result;
  const Region region{
      kernel, buffers, dims, blocks, chunk, static_cast<std::size_t>(ctx->scratch_bytes), ctx};
  Poller idle;
  Poller &poller = frame.committed_ ? idle : *frame.poller_;
  if (pool == nullptr || !pool->run(region, frame.threads_, poller, result)) {
    Region alone = region;
    alone.grain = chunk_of(grain, blocks, 1);
    return poller.active() ? polled_for(alone, poller)
                           : serial_for(ctx, kernel, buffers, dims, blocks, grain);
  }
  merge_status(*ctx->status, result.status);
  frame.stats.threads = std::max<std::uint64_t>(frame.stats.threads, result.threads);
  if (result.cancelled) {
    return SYMC_CANCELLED;
  }
  return result.status.code != 0 ? SYMC_TRAPPED : SYMC_OK;
}

bool grow(symc_tape &tape, std::int64_t used, std::int64_t bytes) noexcept {
  if (bytes < 0) {
    return false;
  }
  void *larger = allocate_aligned(static_cast<std::size_t>(bytes));
  if (larger == nullptr) {
    return false;
  }
  if (used > 0 && tape.data != nullptr) {
    std::memcpy(larger, tape.data, static_cast<std::size_t>(used));
  }
  free_aligned(tape.data);
  tape = {larger, bytes};
  return true;
}

/* symc_ctx.grow. */
std::int32_t grow_tape(const symc_ctx *ctx, symc_tape *tape, std::int64_t used,
                       std::int64_t bytes) {
  Frame &frame = *reinterpret_cast<const CallContext *>(ctx)->frame;
  if (tape->data != nullptr && bytes >= 0 && bytes <= tape->bytes) {
    return SYMC_OK;
  }
  if (!grow(*tape, used, bytes)) {
    frame.short_of_ = bytes;
    return SYMC_NO_MEMORY;
  }
  ++frame.stats.allocations;
  return SYMC_OK;
}

/* symc_ctx.pause. */
std::int32_t pause_loop(const symc_ctx *ctx) {
  return reinterpret_cast<const CallContext *>(ctx)->frame->pause();
}

/* Whether loops may go on, and for how many steps: so many that they take about pause_ns, at most
   four times as many as before, since steps need not all take the same time. */
std::int32_t Frame::pause() noexcept {
  const auto now = std::chrono::steady_clock::now();
  const std::int64_t elapsed =
      std::max(std::chrono::nanoseconds(now - paused_).count(), std::int64_t{1});
  paused_ = now;
  if (cancel_.load(std::memory_order_relaxed) != 0 || (!committed_ && poller_->stop())) {
    cancel_.store(1, std::memory_order_relaxed);
    steps_left_ = 1;
    return SYMC_CANCELLED;
  }
  const std::int64_t wanted = granted_ * pause_ns / elapsed;
  granted_ = std::clamp(std::min(wanted, 4 * granted_), std::int64_t{1}, largest_grant);
  steps_left_ = granted_;
  return SYMC_OK;
}

CallContext Frame::context(symc_status &status) noexcept {
  CallContext c{};
  c.base.cancel = reinterpret_cast<const volatile std::int32_t *>(&cancel_);
  c.base.status = &status;
  c.base.parallel_for = parallel_for;
  c.base.scratch = scratch_.data();
  c.base.scratch_bytes = static_cast<std::int64_t>(layout.scratch);
  c.base.steps_left = &steps_left_;
  c.base.pause = pause_loop;
  c.base.grow = grow_tape;
  c.frame = this;
  return c;
}

} // namespace symc
