/* The VM: an Executable is a verified program with its mapped object code, constants and shared
   variables; a Frame is what one call in flight needs (sizes, arena, scratch), reused from call to
   call so that the steady state allocates nothing.

   A call:  frame = acquire();  fit(frame, dims);  set inputs and outputs;  run(frame, ...);
   release(frame).  Calls of one executable may run at the same time, each with its own frame. */
#ifndef SYMC_VM_H
#define SYMC_VM_H

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "error.h"
#include "layout.h"
#include "loader.h"
#include "memory.h"
#include "parallel.h"
#include "poll.h"
#include "program.h"
#include "state.h"

namespace symc {

/* Work that is worth waking sleeping workers for. */
inline constexpr std::int64_t worth_waking_ns = 150'000;
/* Between cores without a common cache, moving the operands of a shorter region costs more. */
inline constexpr std::int64_t worth_moving_ns = 350'000;

/* Counts of one call, for tests and explain. */
struct Stats {
  std::uint64_t allocations = 0; /* made by the runtime for this call, outputs not counted */
  std::uint64_t kernels = 0;
  std::uint64_t blocks = 0;
  std::uint64_t threads = 1; /* most that took part in one kernel */
};

class Frame;

/* What a kernel's ctx points to: the C struct and, behind it, the call that it belongs to. */
struct CallContext {
  symc_ctx base;
  Frame *frame;
};

/* Memory that grows while a loop runs, and is kept from call to call. */
class Tape {
public:
  Tape() = default;
  ~Tape() { free_aligned(raw_.data); }
  Tape(const Tape &) = delete;
  Tape &operator=(const Tape &) = delete;
  Tape(Tape &&other) noexcept : raw_(std::exchange(other.raw_, {})) {}
  Tape &operator=(Tape &&) = delete;

  [[nodiscard]] symc_tape *raw() noexcept { return &raw_; }

private:
  symc_tape raw_{};
};

/* Makes room on a tape, keeping the first `used` bytes; false: no memory, nothing changed. */
[[nodiscard]] bool grow(symc_tape &tape, std::int64_t used, std::int64_t bytes) noexcept;

static_assert(sizeof(std::atomic<std::int32_t>) == sizeof(std::int32_t));

class Frame {
public:
  explicit Frame(const Program &program);

  /* Steps that loops may run before they pause for the first time. */
  static constexpr std::int64_t first_grant = 64;

  Layout layout;
  std::vector<void *> inputs;  /* by input; set by the caller */
  std::vector<void *> buffers; /* by buffer number; the caller sets those of outputs */
  Stats stats;

private:
  friend class Executable;
  friend std::int32_t parallel_for(const symc_ctx *, symc_kernel, void *const *,
                                   const std::int64_t *, std::int64_t, std::int64_t);
  friend std::int32_t pause_loop(const symc_ctx *);
  friend std::int32_t grow_tape(const symc_ctx *, symc_tape *, std::int64_t, std::int64_t);

  [[nodiscard]] CallContext context(symc_status &status) noexcept;
  [[nodiscard]] std::int32_t pause() noexcept;

  std::vector<void *> arguments_; /* of the kernel that runs */
  Memory arena_;
  Memory scratch_;
  std::vector<Tape> tapes_;     /* by slot */
  std::int64_t short_of_ = 0;   /* bytes that a tape could not have */
  std::int64_t steps_left_ = 0; /* that loops may run before they pause */
  std::int64_t granted_ = 0;    /* at the last pause */
  std::chrono::steady_clock::time_point paused_{};
  std::vector<std::unique_ptr<Memory>> detached_; /* copies of inputs; see detach */
  std::atomic<std::int32_t> cancel_{0};
  symc_status trap_{};
  Poller *poller_ = nullptr;
  unsigned threads_ = 1;
  bool committed_ = false;
  bool woken_ = false; /* workers were asleep and have been told to wake up */
  std::chrono::steady_clock::time_point ended_{}; /* of the last call that was worth timing */
  Frame *next_ = nullptr;                         /* in the free list */
};

class Executable {
public:
  using States = std::vector<std::shared_ptr<State>>;

  /* Throws Error: Format, Load (also for a kernel that the object lacks), Value (states do not fit
     the slots), Memory. */
  Executable(std::span<const std::byte> program, std::span<const std::byte> object, States states);
  /* The same with kernels of this process instead of object code. */
  using Kernels = std::map<std::string, symc_kernel>;
  Executable(std::span<const std::byte> program, const Kernels &kernels, States states);
  ~Executable();
  Executable(const Executable &) = delete;
  Executable &operator=(const Executable &) = delete;

  [[nodiscard]] const Program &program() const noexcept { return program_; }
  [[nodiscard]] const States &states() const noexcept { return states_; }
  [[nodiscard]] std::span<const StateUse> uses() const noexcept { return uses_; }

  /* A frame for one call; throws Error(Memory). */
  [[nodiscard]] Frame *acquire();
  void release(Frame *frame) noexcept;
  /* Frees the frames that are not in use, with their arenas. */
  void release_memory() noexcept;

  /* Computes the layout for `dims` unless the frame has it already; false: they do not fit. */
  [[nodiscard]] bool fit(Frame &frame, std::span<const std::int64_t> dims) const {
    if (frame.layout.ready && same_dims(frame.layout, dims)) {
      return true;
    }
    return compute_layout(program_, dims, frame.layout);
  }

  /* Runs the code once.  Inputs and buffers of outputs are set; the states' locks are held.  On
     return updates are done; on Error (Trap, Interrupted, Memory) no shared variable has changed.
   */
  void run(Frame &frame, Poller &poller) const;

  /* Most threads that a call may use; 0: all that the process may use. */
  unsigned threads = 0;

private:
  [[nodiscard]] static bool same_dims(const Layout &layout, std::span<const std::int64_t> dims);
  void load_constants(std::span<const std::byte> bytes);
  template <class Find> void resolve_kernels(Find find);
  void list_buffers();
  void list_slot(std::uint32_t number, std::uint32_t level);
  void order_states();
  void place(Frame &frame) const;
  void place_states(Frame &frame) const;
  void detach(Frame &frame, std::uint32_t slot) const;
  void execute(Frame &frame, Poller &poller) const;
  void step(Frame &frame, std::size_t at) const;
  void launch(Frame &frame, std::size_t at) const;
  [[nodiscard]] bool launch_here(Frame &frame, std::size_t at) const;
  [[nodiscard]] bool launch_watched(Frame &frame, std::size_t at) const;
  [[nodiscard]] static bool wake_workers(const Frame &frame);
  [[nodiscard]] static bool shares(const Frame &frame, const Launch &launch);
  [[nodiscard]] static bool run_alone(const Region &region, std::int64_t ns, Poller &poller,
                                      symc_status &first);
  void bind(Frame &frame, std::size_t at) const;
  void commit(Frame &frame) const;
  void raise_trap(const Frame &frame) const;

  struct StateBuffer {
    std::uint32_t buffer;
    std::uint32_t slot;
    bool staged;
  };

  Program program_;
  Object object_;
  States states_;
  std::vector<StateUse> uses_;
  std::vector<StateBuffer> state_buffers_;
  std::vector<std::uint32_t> in_place_; /* slots whose current buffer the code writes */
  std::vector<std::pair<std::uint32_t, std::uint32_t>> input_buffers_; /* buffer, input */
  std::vector<std::uint32_t> arena_buffers_;
  std::vector<std::uint32_t> constant_buffers_;
  std::vector<std::vector<std::uint32_t>> slot_buffers_; /* by level - 1 */
  std::vector<std::uint32_t> tape_buffers_;
  std::size_t slots_ = 0;
  std::vector<symc_kernel> kernels_; /* one per instruction; null for others */
  std::vector<std::size_t> constant_places_;
  Memory constants_;
  std::atomic<Frame *> nearest_{nullptr}; /* one free frame, without a lock */
  std::mutex mutex_;                      /* the other free frames */
  Frame *free_ = nullptr;
};

} // namespace symc

#endif
