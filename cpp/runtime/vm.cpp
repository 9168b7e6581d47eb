/* The run loop.  Programs are verified at load and layouts per call, so that nothing is checked
   here but traps and cancellation. */
#include "vm.h"

#include <algorithm>
#include <cstring>

namespace symc {
namespace {

/* Calls above this wake sleeping workers when one follows the other: those stay awake between. */
constexpr std::int64_t worth_waking_often_ns = 40'000;

unsigned thread_limit(unsigned option) {
  static const unsigned all = usable_cpus();
  return option == 0 ? all : option;
}

} // namespace

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
  frame.granted_ = frame.steps_left_ = Frame::first_grant;
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

} // namespace symc
