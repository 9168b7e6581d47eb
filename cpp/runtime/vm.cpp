/* The run loop.  Programs are verified at load and layouts per call, so that nothing is checked
   here but traps and cancellation. */
#include "vm.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <system_error>
#include <thread>

namespace symc {
namespace {

/* When workers spin, regions above the first are worth sharing; when they sleep, the second. */
constexpr std::int64_t worth_sharing_ns = 10'000;
constexpr std::int64_t worth_waking_ns = 150'000;
/* Between cores without a common cache, moving the operands of a shorter region costs more. */
constexpr std::int64_t worth_moving_ns = 350'000;
/* Calls above this wake sleeping workers when one follows the other: those stay awake between. */
constexpr std::int64_t worth_waking_often_ns = 40'000;
/* A single chunk longer than this runs on a thread of its own, while the caller polls. */
constexpr std::int64_t too_long_to_poll_ns = 20'000'000;
/* Work on one thread that is done whole, without polls between chunks. */
constexpr std::int64_t alone_whole_ns = 5'000'000;

/* Loops pause about this often; a pause costs some 50 ns. */
constexpr std::int64_t pause_ns = 100'000;
constexpr std::int64_t first_grant = 64;
constexpr std::int64_t largest_grant = std::int64_t{1} << 20;

unsigned thread_limit(unsigned option) {
  static const unsigned all = usable_cpus();
  return option == 0 ? all : option;
}

} // namespace

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
  RegionResult result;
  const Region region{
      kernel, buffers, dims, blocks, chunk, static_cast<std::size_t>(ctx->scratch_bytes), ctx};
  Poller idle;
  Poller &poller = frame.committed_ ? idle : *frame.poller_;
  if (pool == nullptr || !pool->run(region, frame.threads_, poller, result)) {
    return poller.active() ? polled_for(region, poller)
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
  if (used > 0) {
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

template <class Find> void Executable::resolve_kernels(Find find) {
  for (const Instruction &i : program_.code) {
    symc_kernel kernel = nullptr;
    if (i.op == Opcode::Kernel) {
      kernel = find(i.symbol);
      if (kernel == nullptr) {
        throw Error(ErrorKind::Load, "there is no kernel " + i.symbol);
      }
    }
    kernels_.push_back(kernel);
  }
}

Executable::Executable(std::span<const std::byte> program, std::span<const std::byte> object,
                       States states)
    : program_(decode_program(program)), object_(object), states_(std::move(states)) {
  load_constants(program);
  resolve_kernels([this](const std::string &symbol) {
    return reinterpret_cast<symc_kernel>(object_.find(symbol));
  });
  order_states();
  list_buffers();
}

Executable::Executable(std::span<const std::byte> program, const Kernels &kernels, States states)
    : program_(decode_program(program)), object_({}), states_(std::move(states)) {
  load_constants(program);
  resolve_kernels([&](const std::string &symbol) {
    const auto found = kernels.find(symbol);
    return found == kernels.end() ? nullptr : found->second;
  });
  order_states();
  list_buffers();
}

void Executable::list_buffers() {
  const std::vector<std::uint32_t> levels = size_levels(program_);
  slot_buffers_.resize(program_.computed);
  for (std::uint32_t i = 0; i < program_.buffers.size(); ++i) {
    const Buffer &b = program_.buffers[i];
    switch (b.kind) {
    case BufferKind::State:
    case BufferKind::Staged:
      state_buffers_.push_back({i, b.index, b.kind == BufferKind::Staged});
      break;
    case BufferKind::Arena:
      arena_buffers_.push_back(i);
      break;
    case BufferKind::Const:
      constant_buffers_.push_back(i);
      break;
    case BufferKind::Input:
      input_buffers_.emplace_back(i, b.index);
      break;
    case BufferKind::Slot:
    case BufferKind::Tape:
      slots_ = std::max(slots_, std::size_t{b.index} + 1);
      list_slot(i, buffer_level(b, levels));
      break;
    case BufferKind::Output:
      break;
    }
  }
  for (const Update &u : program_.updates) {
    if (program_.buffers[u.buffer].kind == BufferKind::State) {
      in_place_.push_back(u.slot);
    }
  }
}

void Executable::list_slot(std::uint32_t number, std::uint32_t level) {
  if (program_.buffers[number].kind == BufferKind::Tape) {
    tape_buffers_.push_back(number);
  } else if (level == 0) {
    throw Error(ErrorKind::Format, "malformed program: a slot whose size is known at once");
  } else {
    slot_buffers_[level - 1].push_back(number);
  }
}

Executable::~Executable() { release_memory(); }

void Executable::load_constants(std::span<const std::byte> bytes) {
  std::size_t total = 0;
  for (const Constant &c : program_.constants) {
    constant_places_.push_back(total);
    total += (c.bytes + alignment - 1) / alignment * alignment;
  }
  constants_.reserve(total);
  for (std::size_t i = 0; i < program_.constants.size(); ++i) {
    const Constant &c = program_.constants[i];
    std::memcpy(static_cast<std::byte *>(constants_.data()) + constant_places_[i],
                bytes.data() + c.position, c.bytes);
  }
}

void Executable::order_states() {
  if (states_.size() != program_.states.size()) {
    throw Error(ErrorKind::Value, "the program has " + std::to_string(program_.states.size()) +
                                      " shared variables, got " + std::to_string(states_.size()));
  }
  std::vector<bool> updated(states_.size(), false);
  for (const Update &u : program_.updates) {
    updated[u.slot] = true;
  }
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const StateSlot &slot = program_.states[i];
    State *state = states_[i].get();
    if (state == nullptr || state->dtype() != slot.dtype ||
        state->shape().size() != slot.shape.size()) {
      throw Error(ErrorKind::Value, "shared variable " + slot.name + " has another type");
    }
    const auto same = [&](const StateUse &u) { return u.state == state; };
    const auto known = std::ranges::find_if(uses_, same);
    if (known == uses_.end()) {
      uses_.push_back({state, updated[i]});
    } else if (updated[i] || known->exclusive) {
      throw Error(ErrorKind::Value,
                  "shared variable " + slot.name + " is updated and in two slots");
    }
  }
  std::ranges::sort(uses_, {}, [](const StateUse &u) { return u.state->serial(); });
}

Frame *Executable::acquire() {
  Frame *ready = nearest_.exchange(nullptr, std::memory_order_acquire);
  if (ready == nullptr) {
    const std::scoped_lock lock(mutex_);
    ready = free_;
    free_ = ready == nullptr ? nullptr : ready->next_;
  }
  if (ready != nullptr) {
    ready->stats = Stats{};
    return ready;
  }
  auto frame = std::make_unique<Frame>(program_);
  frame->stats.allocations = 1;
  for (const std::uint32_t number : constant_buffers_) {
    const std::size_t at = constant_places_[program_.buffers[number].index];
    frame->buffers[number] = static_cast<std::byte *>(constants_.data()) + at;
  }
  frame->tapes_ = std::vector<Tape>(slots_);
  for (const std::uint32_t number : tape_buffers_) {
    frame->buffers[number] = frame->tapes_[program_.buffers[number].index].raw();
  }
  return frame.release();
}

void Executable::release(Frame *frame) noexcept {
  Frame *absent = nullptr;
  if (nearest_.compare_exchange_strong(absent, frame, std::memory_order_release,
                                       std::memory_order_relaxed)) {
    return;
  }
  const std::scoped_lock lock(mutex_);
  frame->next_ = free_;
  free_ = frame;
}

void Executable::release_memory() noexcept {
  delete nearest_.exchange(nullptr, std::memory_order_acquire);
  Frame *frame = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    frame = free_;
    free_ = nullptr;
  }
  while (frame != nullptr) {
    Frame *next = frame->next_;
    delete frame;
    frame = next;
  }
}

bool Executable::same_dims(const Layout &layout, std::span<const std::int64_t> dims) {
  return std::ranges::equal(layout.dims, dims);
}

/* Arena and scratch grow here, before anything runs. */
void Executable::place(Frame &frame) const {
  const Layout &l = frame.layout;
  for (const auto &[buffer, input] : input_buffers_) {
    frame.buffers[buffer] = frame.inputs[input];
  }
  if (!arena_buffers_.empty()) {
    frame.stats.allocations += frame.arena_.reserve(l.arena) ? 1 : 0;
    for (const std::uint32_t number : arena_buffers_) {
      frame.buffers[number] =
          static_cast<std::byte *>(frame.arena_.data()) + l.buffer_offset[number];
    }
  }
  if (l.scratch != 0) {
    frame.stats.allocations += frame.scratch_.reserve(l.scratch) ? 1 : 0;
  }
  if (!state_buffers_.empty()) {
    place_states(frame);
  }
}

void Executable::place_states(Frame &frame) const {
  for (const StateBuffer &b : state_buffers_) {
    State &state = *states_[b.slot];
    if (b.staged) {
      frame.stats.allocations += state.prepare_spare() ? 1 : 0;
    }
    frame.buffers[b.buffer] = b.staged ? state.spare() : state.current()->data();
  }
  frame.detached_.clear();
  for (const std::uint32_t slot : in_place_) {
    detach(frame, slot);
  }
}

/* An input that lies in the memory of a shared variable which this call writes is read from a copy.
 */
void Executable::detach(Frame &frame, std::uint32_t slot) const {
  const auto *begin = static_cast<const std::byte *>(states_[slot]->current()->data());
  const std::byte *end = begin + states_[slot]->bytes();
  for (const auto &[buffer, input] : input_buffers_) {
    const auto *mine = static_cast<const std::byte *>(frame.buffers[buffer]);
    const std::size_t bytes = frame.layout.buffer_bytes[buffer];
    if (mine >= end || begin >= mine + bytes) {
      continue;
    }
    frame.detached_.push_back(std::make_unique<Memory>(bytes));
    ++frame.stats.allocations;
    std::memcpy(frame.detached_.back()->data(), mine, bytes);
    frame.buffers[buffer] = frame.detached_.back()->data();
  }
}

void Executable::run(Frame &frame, Poller &poller) const {
  place(frame);
  frame.granted_ = frame.steps_left_ = first_grant;
  frame.cancel_.store(0, std::memory_order_relaxed);
  frame.trap_.code = 0;
  frame.committed_ = false;
  frame.poller_ = &poller;
  frame.threads_ = thread_limit(threads);
  const bool timed = frame.threads_ > 1 && frame.layout.ns >= worth_waking_often_ns;
  frame.woken_ = timed && wake_workers(frame);
  execute(frame, poller);
  if (timed) {
    frame.ended_ = std::chrono::steady_clock::now();
  }
  if (!frame.committed_) {
    raise_trap(frame);
  }
  for (const StateBuffer &b : state_buffers_) {
    if (b.staged) {
      states_[b.slot]->swap();
    }
  }
}

/* Before work that is long enough, or that comes again and again; true: workers will join. */
bool Executable::wake_workers(const Frame &frame) {
  const std::chrono::nanoseconds length{frame.layout.ns};
  if (length.count() < 2 * worth_waking_ns &&
      std::chrono::steady_clock::now() - frame.ended_ > length) {
    return false;
  }
  Pool *pool = Pool::instance();
  if (pool == nullptr || pool->awake() || (pool->distant() && length.count() < worth_moving_ns)) {
    return false;
  }
  pool->wake(frame.threads_);
  return true;
}

void Executable::execute(Frame &frame, Poller &poller) const {
  const std::size_t end = program_.code.size();
  std::size_t at = 0;
  while (at < end) {
    const Instruction &i = program_.code[at];
    if (i.op == Opcode::Jump) {
      const bool taken =
          i.unless == none || *static_cast<const std::uint8_t *>(frame.buffers[i.unless]) == 0;
      at = taken ? i.to : at + 1;
    } else {
      step(frame, at);
      ++at;
    }
    if (!frame.committed_ && poller.stop()) {
      throw Error(ErrorKind::Interrupted, "interrupted");
    }
  }
}

void Executable::step(Frame &frame, std::size_t at) const {
  const Instruction &i = program_.code[at];
  switch (i.op) {
  case Opcode::Kernel:
    return launch(frame, at);
  case Opcode::Copy: {
    const std::size_t bytes = frame.layout.buffer_bytes[i.buffers[0]];
    if (bytes != 0) {
      std::memmove(frame.buffers[i.buffers[0]], frame.buffers[i.buffers[1]], bytes);
    }
    return;
  }
  case Opcode::Bind:
    return bind(frame, at);
  case Opcode::Commit:
    return commit(frame);
  case Opcode::Jump:
    return;
  }
}

/* What is as large as the dim says gets its room. */
void Executable::bind(Frame &frame, std::size_t at) const {
  const Instruction &i = program_.code[at];
  const std::int64_t value = *static_cast<const std::int64_t *>(frame.buffers[i.buffers[0]]);
  bind_dim(program_, i.to, value, frame.layout);
  for (const std::uint32_t number : slot_buffers_[i.to - program_.inputs_dims()]) {
    symc_tape &tape = *frame.tapes_[program_.buffers[number].index].raw();
    const auto bytes = static_cast<std::int64_t>(frame.layout.buffer_bytes[number]);
    if (tape.data == nullptr || tape.bytes < bytes) {
      if (!grow(tape, 0, bytes)) {
        throw Error(ErrorKind::Memory, "cannot allocate " + std::to_string(bytes) + " bytes");
      }
      ++frame.stats.allocations;
    }
    frame.buffers[number] = tape.data;
  }
  if (frame.layout.scratch != 0) {
    frame.stats.allocations += frame.scratch_.reserve(frame.layout.scratch) ? 1 : 0;
  }
}

/* From here on a stop request waits until the call has ended. */
void Executable::commit(Frame &frame) const {
  raise_trap(frame);
  frame.committed_ = true;
}

void Executable::raise_trap(const Frame &frame) const {
  if (frame.trap_.code != 0) {
    throw Error(frame.trap_);
  }
}

void Executable::launch(Frame &frame, std::size_t at) const {
  const Launch &l = frame.layout.launches[at];
  if (l.blocks == 0) {
    return;
  }
  ++frame.stats.kernels;
  frame.stats.blocks += static_cast<std::uint64_t>(l.blocks);
  const bool polls =
      frame.poller_->active() && !frame.committed_ && !program_.code[at].pauses;
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
      throw Error(ErrorKind::Memory, "the rows of a loop need more memory than there is");
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
