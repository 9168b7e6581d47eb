"""Launches: how the code generated for a nest is called.

Before: `codegen_llvm` has made machine code of a nest.  After: `passes/buffers.py` places the
temporaries and writes one `Kernel` instruction per launch into the program.

Invariants: every Size is an expression over the nest's `symbols`; launches of one nest run in
order, the next one after all blocks of the one before; scratch operands never appear in `operands`.
"""

from __future__ import annotations

from symc.ir.dims import Size
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Launch:
    """One call of a kernel over parallel blocks.

    symbol: name in the object.
    operands: the kernel's `buf`, as operand numbers of the nest; number `len(nest.operands) + i` is
    tape or temporary i of the nest.
    dims: names of the symbols whose values are the kernel's `dim`, in that order.
    blocks: number of parallel blocks.  cost: estimated nanoseconds of one block times 16.
    scratch: bytes of thread scratch that one call needs.
    temporaries: bytes of the temporary buffers that this launch adds to the nest's list; they are
    numbered over all launches of the nest in order, and live until its last launch.
    tapes: how many tapes of its own it uses; they are numbered before the temporaries.
    traps: the kernel may write to the status record.
    pauses: it is a loop that asks often whether to go on.  endless: it may run for any time.
    """

    symbol: str
    operands: tuple[int, ...]
    dims: tuple[str, ...]
    blocks: Size
    cost: Size
    scratch: Size = 0
    temporaries: tuple[Size, ...] = ()
    traps: bool = False
    tapes: int = 0
    pauses: bool = False
    endless: bool = False


Launches = tuple[Launch, ...]
