"""Native control flow: a loop or a choice as one function of the kernel ABI.

before: a `Control` and, for each of its bodies, the program of kernels that it runs.  after: a
function that runs those programs: `buf` holds the operands of the control and then its temporaries;
`dim` its sizes.  Carries lie in two buffers that change places at each step, or in one where the
body writes in place; sequences and stacked results are read and written row by row where they lie.

Invariants: nothing is allocated in a step; the cancel flag is read at each step; a kernel that
traps goes on, and the loop returns that something trapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from symc.codegen_llvm.abi import CTX_PARALLEL_FOR, TRAPPED, KernelEmitter
from symc.codegen_llvm.contract.size import as_reg
from symc.codegen_llvm.pauses import data_of, reserve
from symc.codegen_llvm.sizes import needs
from symc.codegen_llvm.text import Reg
from symc.ir.dims import Size, maximum, minimum, substitute, symbol
from symc.ir.errors import CompileError, UnsupportedError, message
from symc.ir.program import (
    Bind,
    Buffer,
    BufferKind,
    Commit,
    Copy,
    Jump,
    Kernel,
    Program,
    size_table,
)
from symc.records import dataclass

SHARED_NS: Final = 2_500  # a kernel of a step above this is offered to other threads
CHUNK_NS: Final = 10_000_000  # the most that a thread takes at once
MOST_NS: Final = 1 << 30  # that is told of the time of all blocks ...
NS: Final = 1 << 32  # ... above the number of blocks of a chunk, as symc.h says
GUESS: Final = 64  # steps of a loop, where nobody knows


@dataclass(frozen=True, slots=True)
class Places:
    """Where the buffers of a body lie in a step: addresses by kind and index."""

    inputs: Sequence[Reg]
    states: Sequence[Reg]
    staged: Sequence[Reg]
    outputs: Sequence[Reg]
    arena: Reg | None
    tapes: Sequence[Reg] = ()


class Runner:
    """Writes one run of a body's program into a kernel."""

    def __init__(self, k: KernelEmitter, program: Program, name: str) -> None:
        self._k = k
        self._program = program
        self._sizes = size_table(program, {name: symbol(name) for name in program.dims})
        self._name = name
        self._constants: dict[int, Reg] = {}
        self._dims: dict[int, Reg] = {}
        self._room: dict[int, Reg] = {}

    @property
    def arena(self) -> Size:
        """Bytes of the body's arena."""
        return self._sizes[self._program.arena]

    @property
    def tapes(self) -> int:
        """How many tapes it needs."""
        kinds = (BufferKind.SLOT, BufferKind.TAPE)
        return max((b.index + 1 for b in self._program.buffers if b.kind in kinds), default=0)

    @property
    def endless(self) -> bool:
        """Whether some kernel may run for any time."""
        return any(kernel.endless for kernel in self._kernels())

    @property
    def scratch(self) -> Size:
        """Bytes of thread scratch that its kernels need."""
        most: Size = 0
        for kernel in self._kernels():
            most = maximum(most, self._sizes[kernel.scratch])
        if needs(most, self._computed):
            raise UnsupportedError(
                message(
                    f"{self._program.name}: work on whole rows inside of a loop",
                    got="rows as long as an inner loop ran",
                    expected="rows of a size known before the loop",
                    where=self._program.locations[0],
                )
            )
        return most

    @property
    def cost(self) -> Size:
        """Sixteenths of nanoseconds of one run."""
        total: Size = 0
        for kernel in self._kernels():
            total = total + self._sizes[kernel.cost] * self._sizes[kernel.blocks] + 160
        return substitute(total, dict.fromkeys(self._computed, GUESS))

    @property
    def _computed(self) -> tuple[str, ...]:
        """The dims that the body finds out itself."""
        return self._program.dims[len(self._program.dims) - self._program.computed :]

    def _kernels(self) -> list[Kernel]:
        return [step for step in self._program.code if isinstance(step, Kernel)]

    def swaps(self) -> list[bool]:
        """Per state, whether its new value lies in another buffer."""
        kinds = {slot: self._program.buffers[number].kind for slot, number in self._program.updates}
        return [
            kinds.get(slot, BufferKind.STATE) is BufferKind.STAGED
            for slot in range(len(self._program.states))
        ]

    def run(self, places: Places) -> None:
        """Write the instructions of one run."""
        for number, instruction in enumerate(self._program.code):
            match instruction:
                case Kernel():
                    self._kernel(number, instruction, places)
                case Copy(target, source):
                    bytes = self._k.size(self._sizes[self._program.buffers[target].bytes])
                    self._copy(self._address(target, places), self._address(source, places), bytes)
                case Commit():
                    pass
                case Bind():
                    self._bind(instruction, places)
                case Jump():
                    raise CompileError(message("native loop", got="a jump in its body"))

    def _address(self, number: int, places: Places) -> Reg:
        buffer = self._program.buffers[number]
        match buffer.kind:
            case BufferKind.INPUT:
                return places.inputs[buffer.index]
            case BufferKind.STATE:
                return places.states[buffer.index]
            case BufferKind.STAGED:
                return places.staged[buffer.index]
            case BufferKind.OUTPUT:
                return places.outputs[buffer.index]
            case BufferKind.CONST:
                return self._constant(buffer)
            case BufferKind.ARENA:
                return self._temporary(number, buffer, places)
            case BufferKind.SLOT:
                return data_of(self._k, places.tapes[buffer.index])
            case BufferKind.TAPE:
                return places.tapes[buffer.index]

    def _bind(self, bind: Bind, places: Places) -> None:
        """A dim is known: what is as large as it says gets its room."""
        k, name = self._k, self._program.dims[bind.dim]
        value = k.emit("i64", f"load i64, {self._address(bind.buffer, places)}, align 8")
        k.bind(name, value)
        late = self._program.dims[bind.dim + 1 :]
        for buffer in self._program.buffers:
            size = self._sizes[buffer.bytes]
            if buffer.kind is BufferKind.SLOT and needs(size, (name,)) and not needs(size, late):
                reserve(k, places.tapes[buffer.index], as_reg(k.size(size)))

    def _temporary(self, number: int, buffer: Buffer, places: Places) -> Reg:
        assert places.arena is not None
        if number not in self._room:
            offset = as_reg(self._k.size(self._sizes[buffer.offset]))
            self._room[number] = self._k.at_entry(
                "ptr", f"getelementptr i8, {places.arena}, {offset}"
            )
        return self._room[number]

    def _constant(self, buffer: Buffer) -> Reg:
        if buffer.index not in self._constants:
            data = self._program.constants[buffer.index].tobytes()
            text = "".join(f"\\{byte:02X}" for byte in data)
            name = f"{self._name}.constant{buffer.index}"
            body = f'[{len(data)} x i8] c"{text}", align 64'
            self._constants[buffer.index] = Reg(self._k.module.constant(name, body), "ptr")
        return self._constants[buffer.index]

    def _kernel(self, number: int, kernel: Kernel, places: Places) -> None:
        k = self._k
        room = k.slot(f"[{max(len(kernel.buffers), 1)} x ptr]")
        for i, buffer in enumerate(kernel.buffers):
            address = self._address(buffer, places)
            at = k.emit("ptr", f"getelementptr ptr, {room}, i64 {i}")
            k.line(f"store {address}, {at}, align 8")
        dims = self._dim_room(number, kernel)
        blocks = as_reg(k.size(self._sizes[kernel.blocks]))
        if any(k.is_late(self._sizes[entry]) for entry in kernel.dims):
            self._store_dims(dims, kernel)
        status = self._launch(kernel, room, dims, blocks)
        self._settle(status, traps=kernel.traps)

    def _dim_room(self, number: int, kernel: Kernel) -> Reg:
        """The sizes of a kernel, stored once."""
        if number not in self._dims:
            k = self._k
            room = k.slot(f"[{max(len(kernel.dims), 1)} x i64]")
            for i, entry in enumerate(kernel.dims):
                if k.is_late(self._sizes[entry]):
                    continue
                value = as_reg(k.size(self._sizes[entry]))
                at = k.at_entry("ptr", f"getelementptr i64, {room}, i64 {i}")
                k.entry.append(f"  store {value}, {at}, align 8")
            self._dims[number] = room
        return self._dims[number]

    def _store_dims(self, room: Reg, kernel: Kernel) -> None:
        """The sizes of a kernel that are not known before."""
        k = self._k
        for i, entry in enumerate(kernel.dims):
            if k.is_late(self._sizes[entry]):
                at = k.emit("ptr", f"getelementptr i64, {room}, i64 {i}")
                k.line(f"store {as_reg(k.size(self._sizes[entry]))}, {at}, align 8")

    def _launch(self, kernel: Kernel, room: Reg, dims: Reg, blocks: Reg) -> Reg:
        """Call a kernel: here, or with the help of other threads where that may pay."""
        k = self._k
        here = f"call i32 @{kernel.symbol}(ptr %ctx, {room}, {dims}, i64 0, {blocks})"
        count, cost = self._sizes[kernel.blocks], self._sizes[kernel.cost]
        total = count * cost
        if isinstance(total, int) and (count == 1 or total < SHARED_NS * 16):
            return k.emit("i32", here)
        work = as_reg(k.size(total))
        test = k.emit if k.is_late(total) else k.at_entry
        large = test("i1", f"icmp sgt {work}, {SHARED_NS * 16}")
        most = maximum(1, CHUNK_NS * 16 // maximum(cost, 1))
        grain = as_reg(k.size(-(most + minimum(total // 16, MOST_NS) * NS)))
        share = k.context(CTX_PARALLEL_FOR)
        symbol = Reg(f"@{kernel.symbol}", "ptr")

        def shared() -> Sequence[Reg]:
            arguments = f"ptr %ctx, {symbol}, {room}, {dims}, {blocks}, {grain}"
            return [k.emit("i32", f"call i32 {share.name}({arguments})")]

        return k.either(large, shared, lambda: [k.emit("i32", here)])[0]

    def _settle(self, status: Reg, *, traps: bool) -> None:
        """Leave when the call was cancelled, or memory ran out; remember a trap."""
        k = self._k
        with k.when(k.emit("i1", f"icmp ne {status}, 0")):
            with k.when(k.emit("i1", f"icmp ne {status}, {TRAPPED}")):
                k.line(f"ret {status}")
                k.open(k.new_label("after"))
            if traps:
                k.line(f"store i32 {TRAPPED}, {k.trap_flag()}")

    def _copy(self, target: Reg, source: Reg, bytes: int | Reg) -> None:
        copy(self._k, target, source, as_reg(bytes))


def copy(k: KernelEmitter, target: Reg, source: Reg, bytes: Reg) -> None:
    """Copy bytes between buffers that do not overlap."""
    k.module.internal("symc.copy", lambda: _COPY)
    k.line(f"call void @symc.copy({target}, {source}, {bytes})")


_COPY: Final = """define internal void @symc.copy(ptr %to, ptr %from, i64 %bytes) nounwind {
entry:
  %wide = and i64 %bytes, -32
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp ult i64 %i, %wide
  br i1 %more, label %body, label %tail
body:
  %f = getelementptr i8, ptr %from, i64 %i
  %t = getelementptr i8, ptr %to, i64 %i
  %v = load <8 x i32>, ptr %f, align 1
  store <8 x i32> %v, ptr %t, align 1
  %next = add i64 %i, 32
  br label %head
tail:
  %j = phi i64 [ %i, %head ], [ %following, %rest ]
  %left = icmp ult i64 %j, %bytes
  br i1 %left, label %rest, label %done
rest:
  %g = getelementptr i8, ptr %from, i64 %j
  %u = getelementptr i8, ptr %to, i64 %j
  %w = load i8, ptr %g, align 1
  store i8 %w, ptr %u, align 1
  %following = add i64 %j, 1
  br label %tail
done:
  ret void
}"""


def advanced(k: KernelEmitter, base: Reg, row: Reg, bytes: int | Reg) -> Reg:
    """The address of row number `row`, of `bytes` each."""
    offset = k.emit("i64", f"mul nsw {row}, {as_reg(bytes).name}")
    return k.emit("ptr", f"getelementptr i8, {base}, {offset}")
