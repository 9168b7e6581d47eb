/* The program as decoded from the bytes that runtime/encode.py makes (see src/symc/ir/program.py
   for the meaning of every field).  decode_program verifies all that can be known at load, so that
   the run loop checks nothing; what depends on sizes is verified by compute_layout (layout.h). */
#ifndef SYMC_PROGRAM_H
#define SYMC_PROGRAM_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace symc {

enum class DType : std::uint8_t {
  Bool,
  I8,
  I16,
  I32,
  I64,
  U8,
  U16,
  U32,
  U64,
  F16,
  BF16,
  F32,
  F64,
  C64,
  C128
};
inline constexpr std::uint8_t dtype_count = 15;

/* Bytes of one element. */
[[nodiscard]] std::int64_t item_size(DType dtype) noexcept;

enum class SizeOp : std::uint8_t { Const, Dim, Add, Sub, Mul, FloorDiv, Mod, Min, Max };
inline constexpr std::uint8_t size_op_count = 9;

struct SizeExpr {
  SizeOp op;
  std::int64_t a;
  std::int64_t b;
};

using Sizes = std::vector<std::uint32_t>; /* numbers of size entries */

inline constexpr std::uint8_t accept_array = 1;
inline constexpr std::uint8_t accept_float = 2;
inline constexpr std::uint8_t accept_int = 4;
inline constexpr std::uint8_t accept_bool = 8;

struct Input {
  std::string name;
  DType dtype;
  std::uint8_t accept;
  bool donated;
  Sizes shape;
};

struct StateSlot {
  std::string name;
  DType dtype;
  Sizes shape;
};

struct Constant {
  DType dtype;
  std::vector<std::int64_t> shape;
  std::size_t position; /* of the payload, in the encoded bytes */
  std::size_t bytes;
};

enum class BufferKind : std::uint8_t { Input, State, Staged, Const, Output, Arena, Slot, Tape };
inline constexpr std::uint8_t buffer_kind_count = 8;
inline constexpr std::uint32_t most_slots = 1U << 20;
inline constexpr std::uint32_t none = 0xffffffffU;

struct Buffer {
  BufferKind kind;
  DType dtype;
  std::uint32_t index;
  std::uint32_t bytes;  /* size entry */
  std::uint32_t offset; /* size entry, or none */
  Sizes shape;
};

enum class Opcode : std::uint8_t {
#define SYMC_OPCODE(name, code, fields) name = code,
#include "opcodes.def"
#undef SYMC_OPCODE
};

struct Instruction {
  Opcode op;
  bool traps = false;
  bool pauses = false;  /* Kernel: asks by itself, often, whether to go on */
  bool endless = false; /* Kernel: nobody knows how long it runs */
  std::uint32_t node = 0;
  std::string symbol;                 /* Kernel */
  std::vector<std::uint32_t> buffers; /* Kernel; Copy: target, source; Bind: the i64 that is read */
  Sizes dims;                         /* Kernel */
  std::uint32_t blocks = 0;           /* Kernel: size entry */
  std::uint32_t cost = 0;             /* Kernel: size entry */
  std::uint32_t scratch = 0;          /* Kernel: size entry */
  std::uint32_t to = 0;               /* Jump; Bind: the dim */
  std::uint32_t unless = none;        /* Jump: buffer, or none */
};

enum class ConstraintKind : std::uint8_t { Equal, Index, Empty };
inline constexpr std::uint8_t constraint_kind_count = 3;

struct Constraint {
  std::uint32_t left;
  std::uint32_t right;
  std::uint32_t node;
  ConstraintKind kind; /* which error it is when they differ */
  std::string message;
};

struct Update {
  std::uint32_t slot;
  std::uint32_t buffer;
};

struct Program {
  std::string name;
  std::vector<std::string> dims;
  std::uint32_t computed = 0; /* the last dims, which Bind sets, in this order */
  std::vector<SizeExpr> sizes;
  std::vector<Constraint> constraints;
  std::vector<Input> inputs;
  std::vector<StateSlot> states;
  std::vector<Constant> constants;
  std::vector<Buffer> buffers;
  std::vector<std::uint32_t> outputs;
  std::vector<Update> updates;
  std::uint32_t arena = 0;
  std::vector<Instruction> code;
  std::uint32_t locations = 0; /* how many nodes have a location */

  /* The first dim that is computed. */
  [[nodiscard]] std::size_t inputs_dims() const noexcept { return dims.size() - computed; }
};

inline constexpr std::uint32_t program_version = 2;

/* For each size: 0 when it is known from the start of a call, else 1 + the number, among the
   computed dims, of the last one that it needs. */
[[nodiscard]] std::vector<std::uint32_t> size_levels(const Program &program);
/* The same of a buffer and of an instruction. */
[[nodiscard]] std::uint32_t buffer_level(const Buffer &b, const std::vector<std::uint32_t> &sizes);
[[nodiscard]] std::uint32_t kernel_level(const Instruction &i,
                                         const std::vector<std::uint32_t> &sizes);

/* Throws Error(Format) on malformed bytes and Error(Unsupported) on another version. */
[[nodiscard]] Program decode_program(std::span<const std::byte> bytes);

/* The second half of decode_program; throws Error(Format). */
void verify_program(const Program &program);

} // namespace symc

#endif
