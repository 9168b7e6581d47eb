/* Verification of a decoded program: every number refers to something that exists and has the right
   kind, dims are bound, and the order around Commit holds.  Sizes are checked later, per call. */
#include <algorithm>
#include <string>

#include "error.h"
#include "program.h"

namespace symc {
namespace {

[[noreturn]] void fail(const std::string &why) {
  throw Error(ErrorKind::Format, "malformed program: " + why);
}

class Verifier {
public:
  explicit Verifier(const Program &program) : p_(program) {}

  void run() {
    if (p_.computed > p_.dims.size()) {
      fail("more computed dims than dims");
    }
    sizes();
    levels_ = size_levels(p_);
    signature();
    buffers();
    results();
    code();
  }

private:
  void size(std::uint32_t entry, const char *what) const {
    if (entry >= p_.sizes.size()) {
      fail(std::string(what) + " names size " + std::to_string(entry));
    }
  }

  void shape(const Sizes &entries, const char *what) const {
    for (const std::uint32_t entry : entries) {
      size(entry, what);
    }
  }

  void node(std::uint32_t number) const {
    if (number >= std::max(p_.locations, 1U)) {
      fail("location " + std::to_string(number));
    }
  }

  const Buffer &buffer(std::uint32_t number, const char *what) const {
    if (number >= p_.buffers.size()) {
      fail(std::string(what) + " names buffer " + std::to_string(number));
    }
    return p_.buffers[number];
  }

  void sizes() const {
    for (std::size_t i = 0; i < p_.sizes.size(); ++i) {
      const SizeExpr &e = p_.sizes[i];
      if (e.op == SizeOp::Const) {
        continue;
      }
      const auto limit = static_cast<std::int64_t>(e.op == SizeOp::Dim ? p_.dims.size() : i);
      if (e.a < 0 || e.a >= limit) {
        fail("operand of size " + std::to_string(i));
      }
      if (e.op != SizeOp::Dim && (e.b < 0 || e.b >= limit)) {
        fail("operand of size " + std::to_string(i));
      }
    }
    for (const Constraint &c : p_.constraints) {
      size(c.left, "constraint");
      size(c.right, "constraint");
      node(c.node);
    }
    size(p_.arena, "arena");
  }

  void bind(const Sizes &entries, std::vector<bool> &bound) const {
    shape(entries, "shape");
    for (const std::uint32_t entry : entries) {
      const SizeExpr &e = p_.sizes[entry];
      if (e.op == SizeOp::Dim) {
        bound[static_cast<std::size_t>(e.a)] = true;
      }
    }
  }

  /* Sizes that must be known when a call starts. */
  void early(const Sizes &entries, const char *what) const {
    for (const std::uint32_t entry : entries) {
      if (levels_[entry] != 0) {
        fail(std::string(what) + " has a size that is computed later");
      }
    }
  }

  void signature() const {
    std::vector<bool> bound(p_.dims.size(), false);
    for (const Input &in : p_.inputs) {
      bind(in.shape, bound);
      early(in.shape, "an input");
      if ((in.accept & ~accept_array) != 0 && !in.shape.empty()) {
        fail("input " + in.name + " takes scalars but has axes");
      }
    }
    for (const StateSlot &slot : p_.states) {
      bind(slot.shape, bound);
      early(slot.shape, "a shared variable");
    }
    early({p_.arena}, "the arena");
    for (std::size_t i = 0; i < p_.inputs_dims(); ++i) {
      if (!bound[i]) {
        fail("no input has an axis of size " + p_.dims[i]);
      }
    }
  }

  void same_dtype(const Buffer &b, DType dtype) const {
    if (b.dtype != dtype) {
      fail("a buffer and what it names have different dtypes");
    }
  }

  template <class List> const auto &target(const Buffer &b, const List &list) const {
    if (b.index >= list.size()) {
      fail("index of a buffer is out of range");
    }
    return list[b.index];
  }

  void place(const Buffer &b) const {
    switch (b.kind) {
    case BufferKind::Input:
      return same_dtype(b, target(b, p_.inputs).dtype);
    case BufferKind::State:
    case BufferKind::Staged:
      return same_dtype(b, target(b, p_.states).dtype);
    case BufferKind::Const:
      return same_dtype(b, target(b, p_.constants).dtype);
    case BufferKind::Output:
      if (&buffer(target(b, p_.outputs), "output") != &b) {
        fail("an output buffer is not the output that it names");
      }
      return;
    case BufferKind::Arena:
      size(b.offset, "offset");
      return early({b.offset}, "an offset");
    case BufferKind::Slot:
    case BufferKind::Tape:
      if (b.index >= most_slots) {
        fail("number of a slot");
      }
      return;
    }
  }

  void buffers() const {
    for (const Buffer &b : p_.buffers) {
      shape(b.shape, "buffer");
      size(b.bytes, "buffer");
      place(b);
      if (b.kind != BufferKind::Slot && b.kind != BufferKind::Tape &&
          buffer_level(b, levels_) != 0) {
        fail("a buffer of a size that is computed later has no slot");
      }
    }
  }

  void results() const {
    std::vector<bool> returned(p_.buffers.size(), false);
    for (std::size_t i = 0; i < p_.outputs.size(); ++i) {
      const Buffer &b = buffer(p_.outputs[i], "output");
      const bool fresh = b.kind == BufferKind::Output && b.index == i;
      const bool reused = b.kind == BufferKind::Input && p_.inputs[b.index].donated;
      const bool slot = b.kind == BufferKind::Slot;
      if ((!fresh && !reused && !slot) || returned[p_.outputs[i]]) {
        fail("output " + std::to_string(i) + " is neither fresh memory nor a donated input");
      }
      returned[p_.outputs[i]] = true;
    }
    std::vector<bool> updated(p_.states.size(), false);
    for (const Update &u : p_.updates) {
      const Buffer &b = buffer(u.buffer, "update");
      const bool kind = b.kind == BufferKind::Staged || b.kind == BufferKind::State;
      if (u.slot >= p_.states.size() || !kind || b.index != u.slot || updated[u.slot]) {
        fail("update of a shared variable");
      }
      updated[u.slot] = true;
    }
  }

  [[nodiscard]] bool is_updated(std::uint32_t slot, BufferKind kind) const {
    return std::ranges::any_of(p_.updates, [&](const Update &u) {
      return u.slot == slot && p_.buffers[u.buffer].kind == kind;
    });
  }

  void copy(const Instruction &i, bool committed) const {
    const Buffer &to = buffer(i.buffers[0], "copy");
    if (buffer(i.buffers[1], "copy").kind == BufferKind::Tape) {
      fail("a copy reads a tape");
    }
    switch (to.kind) {
    case BufferKind::Tape:
      fail("a copy writes a tape");
    case BufferKind::Slot:
    case BufferKind::Arena:
    case BufferKind::Output:
    case BufferKind::Staged:
      return;
    case BufferKind::Input:
      if (!p_.inputs[to.index].donated) {
        fail("a copy writes an input that is not donated");
      }
      return;
    case BufferKind::State:
      if (!committed) {
        fail("a copy writes a shared variable before Commit");
      }
      return;
    case BufferKind::Const:
      fail("a copy writes a constant");
    }
  }

  void kernel(const Instruction &i, bool committed) const {
    for (const std::uint32_t number : i.buffers) {
      (void)buffer(number, "kernel");
    }
    shape(i.dims, "kernel");
    size(i.blocks, "kernel");
    size(i.cost, "kernel");
    size(i.scratch, "kernel");
    if (committed && i.traps) {
      fail("kernel " + i.symbol + " can raise after Commit");
    }
  }

  /* Computed dims are bound in order, and used after that only. */
  void known(const Instruction &i, std::uint32_t bound) const {
    std::uint32_t level = i.op == Opcode::Kernel ? kernel_level(i, levels_) : 0;
    for (const std::uint32_t number : i.buffers) {
      if (p_.buffers[number].kind != BufferKind::Tape) {
        level = std::max(level, buffer_level(p_.buffers[number], levels_));
      }
    }
    if (level > bound) {
      fail("a size is used before it is bound");
    }
  }

  void bind(const Instruction &i, std::uint32_t &bound) const {
    const Buffer &b = buffer(i.buffers[0], "bind");
    const std::size_t first = p_.inputs_dims();
    if (b.dtype != DType::I64 || !b.shape.empty() || b.kind == BufferKind::Tape) {
      fail("bind reads what is no i64 scalar");
    }
    if (i.to < first || i.to >= p_.dims.size() || i.to - first > bound) {
      fail("bind of dim " + std::to_string(i.to));
    }
    bound = std::max(bound, static_cast<std::uint32_t>(i.to - first + 1));
  }

  void jump(const Instruction &i, std::size_t commit, bool committed) const {
    if (p_.computed != 0) {
      fail("jump in a program that binds dims");
    }
    if (i.to > p_.code.size() || (committed && i.to <= commit)) {
      fail("jump target");
    }
    if (!committed && commit < p_.code.size() && i.to > commit) {
      fail("jump over Commit");
    }
    if (i.unless == none) {
      return;
    }
    if (buffer(i.unless, "jump").dtype != DType::Bool) {
      fail("jump on a buffer that is not bool");
    }
  }

  void code() const {
    const auto is_commit = [](const Instruction &i) { return i.op == Opcode::Commit; };
    const auto first = std::ranges::find_if(p_.code, is_commit);
    const auto commit = static_cast<std::size_t>(first - p_.code.begin());
    if (std::ranges::count_if(p_.code, is_commit) > 1) {
      fail("two Commit instructions");
    }
    for (const Buffer &b : p_.buffers) {
      if (b.kind == BufferKind::Staged && !is_updated(b.index, BufferKind::Staged)) {
        fail("a staged buffer that no update names");
      }
    }
    std::uint32_t bound = 0;
    for (std::size_t at = 0; at < p_.code.size(); ++at) {
      instruction(p_.code[at], commit, at > commit);
      known(p_.code[at], bound);
      if (p_.code[at].op == Opcode::Bind) {
        bind(p_.code[at], bound);
      }
    }
    if (bound != p_.computed) {
      fail("a computed dim that nothing binds");
    }
    if (first == p_.code.end() && has_in_place_update()) {
      fail("a shared variable is updated in place without Commit");
    }
  }

  [[nodiscard]] bool has_in_place_update() const {
    return std::ranges::any_of(p_.updates, [&](const Update &u) {
      return p_.buffers[u.buffer].kind == BufferKind::State;
    });
  }

  void instruction(const Instruction &i, std::size_t commit, bool committed) const {
    node(i.node);
    switch (i.op) {
    case Opcode::Kernel:
      return kernel(i, committed);
    case Opcode::Copy:
      return copy(i, committed);
    case Opcode::Jump:
      return jump(i, commit, committed);
    case Opcode::Bind:
      (void)buffer(i.buffers[0], "bind");
      return;
    case Opcode::Commit:
      return;
    }
  }

  const Program &p_;
  std::vector<std::uint32_t> levels_;
};

} // namespace

void verify_program(const Program &program) { Verifier(program).run(); }

} // namespace symc
