/* What a program needs at given sizes: the size table evaluated, every buffer's bytes and place,
   every kernel's blocks, chunk size and expected time.  Kept per call frame and recomputed only
   when the dims change; all storage is allocated once, by prepare. */
#ifndef SYMC_LAYOUT_H
#define SYMC_LAYOUT_H

#include <cstdint>
#include <span>
#include <vector>

#include "program.h"

namespace symc {

/* One kernel instruction at given sizes. */
struct Launch {
  std::int64_t blocks = 0;
  std::int64_t grain = 1;    /* blocks per chunk: a function of the cost only */
  std::int64_t ns = 0;       /* expected time of all blocks on one thread */
  std::size_t scratch = 0;   /* bytes per thread */
  std::size_t first_dim = 0; /* where this kernel's dims start in kernel_dims */
};

/* An arena buffer and the instructions that use it first and last. */
struct Life {
  std::uint32_t buffer;
  std::size_t first;
  std::size_t last;
};

/* What is known of the sizes that need computed dim number `level` - 1 and none after it. */
struct Level {
  bool ready = false;
  std::vector<std::uint32_t> sizes;
  std::vector<std::uint32_t> constraints;
  std::vector<std::uint32_t> buffers;
  std::vector<std::size_t> code;
};

struct Layout {
  bool ready = false;
  bool loops =
      false; /* a jump goes back, or a kernel may never end: the expected time is unknown */
  std::vector<std::int64_t> dims;
  std::vector<std::int64_t> sizes;
  std::vector<std::size_t> buffer_bytes;
  std::vector<std::size_t> buffer_offset; /* arena buffers */
  std::vector<Life> lives;                /* by first use; empty when there are jumps or too many */
  std::vector<Life> alive;
  std::vector<Launch> launches; /* one per instruction; empty for others */
  std::vector<std::int64_t> kernel_dims;
  std::size_t arena = 0;
  std::size_t scratch = 0;
  std::int64_t ns = 0;       /* expected time of the whole call on one thread */
  std::vector<Level> levels; /* 0: known from the start */
};

/* Allocates the tables of a layout. */
void prepare_layout(const Program &program, Layout &layout);

/* Evaluates everything for `dims`.  False: the sizes do not fit this program (a constraint, a
   negative size, a buffer outside the arena); the layout is then not ready.  Dims that the program
   computes itself are left to bind_dim.  Throws Error(Memory)
   when a size overflows, Error(Format) when two arena buffers that are alive together overlap. */
[[nodiscard]] bool compute_layout(const Program &program, std::span<const std::int64_t> dims,
                                  Layout &layout);

/* Sets computed dim `dim` and evaluates what needs it; nothing is done when it has that value
   already.  Throws Error(Shape) when the sizes do not fit the program, Error(Memory) on overflow.
 */
void bind_dim(const Program &program, std::size_t dim, std::int64_t value, Layout &layout);

} // namespace symc

#endif
