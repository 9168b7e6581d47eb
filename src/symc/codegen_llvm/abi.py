"""The kernel ABI as generated code sees it: a function of five arguments, and its prologue.

What it is: the offsets of `cpp/runtime/symc.h` (a test compares them), and `KernelEmitter`, the
body of one kernel.  Whatever depends on nothing but the arguments (buffer pointers, sizes, stack
slots) is written into the entry block, once, wherever in the body it is first asked for.

Invariants: the entry block has no branches, so that its registers are known everywhere; sizes are
folded where they are static.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.sizes import LateSizes, SizeEmitter, needs
from symc.codegen_llvm.text import FRAME, Emitter, Module, Reg
from symc.ir.dims import Size

CTX_CANCEL = 0
CTX_STATUS = 8
CTX_PARALLEL_FOR = 16
CTX_CONTRACTIONS = 24
CTX_SCRATCH = 32
CTX_SCRATCH_BYTES = 40
CTX_STEPS_LEFT = 48
CTX_PAUSE = 56
CTX_GROW = 64

TAPE_DATA = 0
TAPE_BYTES = 8

STATUS_CODE = 0
STATUS_NODE = 4
STATUS_STEP = 8
STATUS_INDEX = 16
STATUS_VALUE = 24

CANCELLED = 1  # what a kernel returns when it saw the cancel flag and left
TRAPPED = 2  # what a kernel returns after it wrote the status record
NO_MEMORY = 3  # what a kernel returns when a tape could not grow

BEGIN = Reg("%begin", "i64")
END = Reg("%end", "i64")


class KernelEmitter(Emitter):
    """One kernel under construction; `symbols` are the names of `dim[0]`, `dim[1]`, ..."""

    def __init__(self, module: Module, symbols: Sequence[str]) -> None:
        super().__init__(module)
        self.entry: list[str] = []
        self._sizes = SizeEmitter(self.at_entry, symbols)
        self._late: dict[str, Reg] = {}
        self._buffers: dict[int, Reg] = {}
        self._result: Reg | None = None
        self._cancel: Reg | None = None

    def at_entry(self, type: str, rhs: str) -> Reg:
        """Write `%fresh = rhs` into the entry block."""
        name = self.fresh("e")
        self.entry.append(f"  {name} = {rhs}")
        return Reg(name, type)

    def size(self, size: Size) -> Extent:
        """The value of a size: an int, or a register of the entry block; where it needs dims that
        the kernel computes, a register that is made here."""
        if self._late and needs(size, self._late):
            return LateSizes(self.emit, self._sizes, self._late).value(size)
        return self._sizes.value(size)

    def is_late(self, size: Size) -> bool:
        """Whether a size needs dims that the kernel computes."""
        return bool(self._late) and needs(size, self._late)

    def bind(self, name: str, value: Reg) -> None:
        """From here on the dim `name` is `value`."""
        self._late[name] = value

    def buffer(self, number: int) -> Reg:
        """The pointer `buf[number]`."""
        if number not in self._buffers:
            at = self.at_entry("ptr", f"getelementptr ptr, ptr %buf, i64 {number}")
            self._buffers[number] = self.at_entry("ptr", f"load ptr, ptr {at.name}, align 8")
        return self._buffers[number]

    def context(self, offset: int) -> Reg:
        """The pointer stored at `offset` of the context."""
        at = self.at_entry("ptr", f"getelementptr i8, ptr %ctx, i64 {offset}")
        return self.at_entry("ptr", f"load ptr, ptr {at.name}, align 8")

    def poll(self) -> None:
        """Leave the kernel here if the call was cancelled."""
        if self._cancel is None:
            self._cancel = self.context(CTX_CANCEL)
        seen = self.emit("i32", f"load volatile i32, {self._cancel}, align 4")
        leave, stay = self.new_label("leave"), self.new_label("stay")
        self.branch(self.emit("i1", f"icmp ne {seen}, 0"), leave, stay)
        self.open(leave)
        self.line(f"ret i32 {CANCELLED}")
        self.open(stay)

    def slot(self, type: str) -> Reg:
        """A place of `type` on the stack, aligned for vectors."""
        return self.at_entry("ptr", f"alloca {type}, align 64")

    @property
    def traps(self) -> bool:
        """Whether the kernel may write the status record."""
        return self._result is not None

    def trap_flag(self) -> Reg:
        """The place of the kernel's result, 0 at first."""
        if self._result is None:
            self._result = self.at_entry("ptr", "alloca i32, align 4")
            self.entry.append(f"  store i32 0, ptr {self._result.name}")
        return self._result

    @contextmanager
    def when(self, condition: Reg) -> Iterator[None]:
        """What is written inside runs only where the i1 `condition` holds."""
        then, after = self.new_label("then"), self.new_label("after")
        self.branch(condition, then, after)
        self.open(then)
        yield
        self.jump(after)
        self.open(after)

    def either(
        self,
        condition: Reg,
        then: Callable[[], Sequence[Reg]],
        otherwise: Callable[[], Sequence[Reg]],
    ) -> tuple[Reg, ...]:
        """The registers that one of the two arms gives; both give equally many, of equal types."""
        labels = [self.new_label(hint) for hint in ("then", "else", "after")]
        self.branch(condition, labels[0], labels[1])
        results, ends = [], []
        for label, arm in zip(labels, (then, otherwise), strict=False):
            self.open(label)
            results.append(arm())
            ends.append(self.block)
            self.jump(labels[2])
        self.open(labels[2])
        pairs = zip(*results, strict=True)
        return tuple(
            self.phi(left.type, [(left, ends[0]), (right, ends[1])]) for left, right in pairs
        )

    def finish(self, name: str) -> None:
        """End the function and add it to the module as `@name`."""
        parameters = "ptr %ctx, ptr %buf, ptr %dim, i64 %begin, i64 %end"
        head = f"define i32 @{name}({parameters}) {FRAME} {{"
        result = "0"
        if self._result is not None:
            result = self.emit("i32", f"load i32, ptr {self._result.name}").name
        tail = [f"  ret i32 {result}", "}"]
        body = [head, "entry:", *self.entry, *self.lines, *tail]
        self.module.functions.append("\n".join(body))
