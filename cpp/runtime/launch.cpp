/* How one kernel instruction runs: here, on more threads, or watched. */
#include <algorithm>
#include <condition_variable>
#include <system_error>
#include <thread>

#include "vm.h"

namespace symc {
namespace {

/* When workers spin, regions above this are worth sharing; when they sleep, worth_waking_ns. */
constexpr std::int64_t worth_sharing_ns = 10'000;
/* A single chunk longer than this runs on a thread of its own, while the caller polls. */
constexpr std::int64_t too_long_to_poll_ns = 20'000'000;
/* Work on one thread that is done whole, without polls between chunks. */
constexpr std::int64_t alone_whole_ns = 5'000'000;

} // namespace

void Executable::launch(Frame &frame, std::size_t at) const {
  const Launch &l = frame.layout.launches[at];
  if (l.blocks == 0) {
    return;
  }
  ++frame.stats.kernels;
  frame.stats.blocks += static_cast<std::uint64_t>(l.blocks);
  const bool polls = frame.poller_->active() && !frame.committed_ && !program_.code[at].pauses;
  if (program_.code[at].pauses) {
    frame.paused_ = std::chrono::steady_clock::now();
  }
  const bool stopped = polls && l.ns / l.blocks > too_long_to_poll_ns / l.grain
                           ? launch_watched(frame, at)
                           : launch_here(frame, at);
  if (stopped) {
    throw Error(ErrorKind::Interrupted, "interrupted");
  }
}

/* Runs a kernel on this thread and perhaps on workers; true: it was stopped. */
bool Executable::launch_here(Frame &frame, std::size_t at) const {
  const Instruction &i = program_.code[at];
  const Launch &l = frame.layout.launches[at];
  for (std::size_t b = 0; b < i.buffers.size(); ++b) {
    frame.arguments_[b] = frame.buffers[i.buffers[b]];
  }
  symc_status status{};
  const CallContext context = frame.context(status);
  const Region region{kernels_[at],
                      frame.arguments_.data(),
                      frame.layout.kernel_dims.data() + l.first_dim,
                      l.blocks,
                      l.grain,
                      l.scratch,
                      &context.base};
  Poller idle;
  Poller &poller = frame.committed_ ? idle : *frame.poller_;
  RegionResult result;
  if (!shares(frame, l) || !Pool::instance()->run(region, frame.threads_, poller, result)) {
    result.cancelled = run_alone(region, l.ns, poller, result.status);
  }
  /* A kernel numbers what can trap in it; users know lines, which the instruction has. */
  result.status.node = static_cast<std::int32_t>(i.node);
  merge_status(frame.trap_, result.status);
  frame.stats.threads = std::max<std::uint64_t>(frame.stats.threads, result.threads);
  return result.cancelled;
}

bool Executable::shares(const Frame &frame, const Launch &l) {
  if (frame.threads_ < 2 || l.blocks <= l.grain || l.ns < worth_sharing_ns) {
    return false;
  }
  const Pool *pool = Pool::instance();
  if (pool == nullptr || (pool->distant() && l.ns < worth_moving_ns)) {
    return false;
  }
  return frame.woken_ || l.ns >= worth_waking_ns || pool->awake();
}

/* Whole when short; in chunks, polling between them, when long.  True: stopped.  Each chunk starts
   with a clean record, so that a kernel need not compare what it finds there. */
bool Executable::run_alone(const Region &r, std::int64_t ns, Poller &poller, symc_status &first) {
  const bool whole = !poller.active() || ns <= alone_whole_ns;
  const std::int64_t grain = whole ? r.blocks : r.grain;
  symc_status &chunk = *r.base->status;
  for (std::int64_t begin = 0; begin < r.blocks; begin += grain) {
    const std::int64_t end = std::min(begin + grain, r.blocks);
    const std::int32_t code = r.kernel(r.base, r.buffers, r.dims, begin, end);
    merge_status(first, chunk);
    chunk.code = 0;
    if (code == SYMC_NO_MEMORY) {
      const Frame &frame = *reinterpret_cast<const CallContext *>(r.base)->frame;
      throw Error(ErrorKind::Memory, "cannot allocate " + std::to_string(frame.short_of_) +
                                         " bytes for rows of a loop");
    }
    if (code == SYMC_CANCELLED || poller.stop()) {
      return true;
    }
  }
  return false;
}

/* A chunk that takes long runs on a thread of its own, while this one polls and, told to stop, sets
   the cancel flag that kernels read.  True: stopped. */
bool Executable::launch_watched(Frame &frame, std::size_t at) const {
  Poller &watcher = *frame.poller_;
  Poller idle;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  bool stopped = false;
  frame.poller_ = &idle;
  const auto body = [&] {
    const bool result = launch_here(frame, at);
    const std::scoped_lock lock(mutex);
    stopped = result;
    done = true;
    changed.notify_one();
  };
  std::thread thread;
  try {
    thread = std::thread(body);
  } catch (const std::system_error &) {
    frame.poller_ = &watcher;
    return launch_here(frame, at);
  }
  std::unique_lock lock(mutex);
  while (!changed.wait_for(lock, Poller::interval, [&] { return done; })) {
    lock.unlock();
    if (watcher.stop()) {
      frame.cancel_.store(1, std::memory_order_relaxed);
    }
    lock.lock();
  }
  lock.unlock();
  thread.join();
  frame.poller_ = &watcher;
  return stopped || watcher.stop();
}

} // namespace symc
