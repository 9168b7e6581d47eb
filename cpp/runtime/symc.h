/* The C ABI between generated code and whatever runs it.

   Generated code is position independent, has no external relocations and keeps no state: all that
   it needs arrives in the five arguments of a kernel.  The layout of symc_ctx is part of the ABI:
   the code generator (codegen_llvm/abi.py) names the same offsets, and a test compares them. */
#ifndef SYMC_H
#define SYMC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SYMC_ABI_VERSION 2

/* What a kernel returns. */
enum symc_code {
  SYMC_OK = 0,
  SYMC_CANCELLED = 1, /* saw *cancel != 0 and left; buffers written in part */
  SYMC_TRAPPED = 2,   /* ran on with clamped values; the status record says where */
  SYMC_NO_MEMORY = 3  /* a tape could not grow; left like a cancelled kernel */
};

/* The first trap of a call in program order: the smallest (node, step, index) wins. */
typedef struct symc_status {
  int32_t code;  /* 0: none; else a program-defined trap kind (see ir/program.py Trap) */
  int32_t node;  /* number of the node in the program's location table */
  int64_t step;  /* step of the innermost loop, 0 outside loops */
  int64_t index; /* row-major position in the iteration space */
  int64_t value; /* the offending value, for the message */
} symc_status;

typedef struct symc_ctx symc_ctx;

/* A kernel: computes parallel blocks [begin, end); 0 or a symc_code. */
typedef int32_t (*symc_kernel)(const symc_ctx *ctx, void *const *buf, const int64_t *dim,
                               int64_t begin, int64_t end);

/* Runs k over blocks [0, blocks) on this call's threads, in chunks of `grain` blocks.  Where grain
   is negative, in one chunk for each thread: -grain is the most blocks of a chunk, plus 2^32 for
   each nanosecond that all blocks are expected to take on one thread. */
typedef int32_t (*symc_parallel_for)(const symc_ctx *ctx, symc_kernel k, void *const *buf,
                                     const int64_t *dim, int64_t blocks, int64_t grain);

/* Rows of a loop whose number of steps is not known before: memory that grows. */
typedef struct symc_tape {
  void *data; /* 64-byte aligned, or NULL */
  int64_t bytes;
} symc_tape;

/* Makes room for `bytes` on the tape, keeping the first `used`: SYMC_OK or SYMC_NO_MEMORY. */
typedef int32_t (*symc_grow)(const symc_ctx *ctx, symc_tape *tape, int64_t used, int64_t bytes);

/* Loops count *steps_left down and call this when it is gone: the host asks whether to go on.
   Returns SYMC_OK with steps granted, or SYMC_CANCELLED. */
typedef int32_t (*symc_pause)(const symc_ctx *ctx);

struct symc_ctx {
  const volatile int32_t *cancel;  /* offset 0: non-zero asks kernels to stop */
  symc_status *status;             /* offset 8: this thread's record */
  symc_parallel_for parallel_for;  /* offset 16 */
  const void *const *contractions; /* offset 24: table of external contraction entries, or NULL */
  void *scratch;                   /* offset 32: this thread's scratch, 64-byte aligned */
  int64_t scratch_bytes;           /* offset 40 */
  int64_t *steps_left;             /* offset 48: that loops may run before they pause */
  symc_pause pause;                /* offset 56 */
  symc_grow grow;                  /* offset 64 */
};

#ifdef __cplusplus
}
#endif

#endif
