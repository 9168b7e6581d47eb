"""Programs for the runtime's tests, put together by hand, with kernels written in LLVM IR."""

from __future__ import annotations

import functools

import llvmlite.binding as llvm
import numpy as np

from symc.ir.program import (
    Accept,
    Buffer,
    BufferKind,
    Commit,
    Constraint,
    Copy,
    Input,
    Instruction,
    Kernel,
    Program,
    SizeExpr,
    SizeOp,
    StateSlot,
)
from symc.runtime.executable import Callable, Executable, State, Structure, load

F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)

_LOOP = """
define i32 @{name}(ptr %ctx, ptr %buf, ptr %dim, i64 %begin, i64 %end) {{
entry:
{pointers}
  %any = icmp slt i64 %begin, %end
  br i1 %any, label %loop, label %done
loop:
  %i = phi i64 [%begin, %entry], [%next, %loop]
{loads}
{body}
  %p = getelementptr {type}, ptr %b{last}, i64 %i
  store {type} %y, ptr %p
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  ret i32 0
}}
"""

# Never ends before it is cancelled.
SPIN = """
define i32 @spin(ptr %ctx, ptr %buf, ptr %dim, i64 %begin, i64 %end) {
entry:
  %cancel = load ptr, ptr %ctx
  br label %loop
loop:
  %flag = load atomic i32, ptr %cancel monotonic, align 4
  %go = icmp eq i32 %flag, 0
  br i1 %go, label %loop, label %done
done:
  ret i32 1
}
"""

# Traps with kind dim[0] at node 1, position 4, value -7; buffers are left alone.
TRAP = """
define i32 @trap(ptr %ctx, ptr %buf, ptr %dim, i64 %begin, i64 %end) {
  %at = getelementptr i8, ptr %ctx, i64 8
  %status = load ptr, ptr %at
  %kind = load i64, ptr %dim
  %code = trunc i64 %kind to i32
  store i32 %code, ptr %status
  %node = getelementptr i8, ptr %status, i64 4
  store i32 1, ptr %node
  %step = getelementptr i8, ptr %status, i64 8
  store i64 0, ptr %step
  %index = getelementptr i8, ptr %status, i64 16
  store i64 4, ptr %index
  %value = getelementptr i8, ptr %status, i64 24
  store i64 -7, ptr %value
  ret i32 2
}
"""


def loop(name: str, inputs: int, body: str, type: str = "float") -> str:
    """A kernel that computes %y from %x0, %x1, ... element by element."""
    pointers = []
    for k in range(inputs + 1):
        pointers += [f"  %a{k} = getelementptr ptr, ptr %buf, i64 {k}"]
        pointers += [f"  %b{k} = load ptr, ptr %a{k}"]
    loads = []
    for k in range(inputs):
        loads += [f"  %e{k} = getelementptr {type}, ptr %b{k}, i64 %i"]
        loads += [f"  %x{k} = load {type}, ptr %e{k}"]
    return _LOOP.format(
        name=name,
        type=type,
        last=inputs,
        body=body,
        pointers="\n".join(pointers),
        loads="\n".join(loads),
    )


def affine(type: str = "float") -> str:
    """y = 2 x + 1."""
    body = f"  %m = fmul {type} %x0, 2.0\n  %y = fadd {type} %m, 1.0"
    return loop("affine", 1, body, type)


ADD = loop("add", 2, "  %y = fadd float %x0, %x1")


@functools.cache
def object_code(*kernels: str) -> bytes:
    """The kernels as one relocatable object."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(opt=2, reloc="pic", codemodel="small")
    return machine.emit_object(llvm.parse_assembly("\n".join(kernels)))


class Builder:
    """Collects the tables of a Program; sizes are shared."""

    def __init__(self, *dims: str) -> None:
        self.dims = dims
        self.sizes: list[SizeExpr] = []
        self.inputs: list[Input] = []
        self.states: list[StateSlot] = []
        self.constants: list[np.ndarray] = []
        self.constraints: list[Constraint] = []
        self.buffers: list[Buffer] = []
        self.outputs: list[int] = []
        self.updates: list[tuple[int, int]] = []
        self.code: list[Instruction] = []
        self.arena = self.size(0)

    def size(self, value: int | str | SizeExpr) -> int:
        """The entry of a number, a dim's name or an expression."""
        match value:
            case str():
                expr = SizeExpr(SizeOp.DIM, self.dims.index(value))
            case int():
                expr = SizeExpr(SizeOp.CONST, value)
            case _:
                expr = value
        if expr not in self.sizes:
            self.sizes.append(expr)
        return self.sizes.index(expr)

    def shape(self, axes: tuple[int | str | SizeExpr, ...]) -> tuple[int, ...]:
        return tuple(self.size(axis) for axis in axes)

    def elements(self, shape: tuple[int, ...]) -> int:
        total = self.size(1)
        for axis in shape:
            total = self.size(SizeExpr(SizeOp.MUL, total, axis))
        return total

    def buffer(
        self,
        kind: BufferKind,
        index: int,
        dtype: np.dtype,
        shape: tuple[int, ...],
        offset: int = -1,
    ) -> int:
        item = self.size(dtype.itemsize)
        size = self.size(SizeExpr(SizeOp.MUL, self.elements(shape), item))
        self.buffers.append(Buffer(kind, index, dtype, shape, size, offset))
        return len(self.buffers) - 1

    def input(
        self,
        *axes: int | str | SizeExpr,
        dtype: np.dtype = F32,
        accept: int = Accept.ARRAY,
        donated: bool = False,
    ) -> int:
        shape = self.shape(axes)
        name = "xyzuvw"[len(self.inputs)]
        self.inputs.append(Input(name, dtype, shape, accept, donated))
        return self.buffer(BufferKind.INPUT, len(self.inputs) - 1, dtype, shape)

    def output(self, *axes: int | str | SizeExpr, dtype: np.dtype = F32) -> int:
        index = len(self.outputs)
        self.outputs.append(self.buffer(BufferKind.OUTPUT, index, dtype, self.shape(axes)))
        return self.outputs[-1]

    def state(self, *axes: int | str, dtype: np.dtype = F32) -> int:
        shape = self.shape(axes)
        self.states.append(StateSlot(f"s{len(self.states)}", dtype, shape))
        return self.buffer(BufferKind.STATE, len(self.states) - 1, dtype, shape)

    def staged(self, state: int) -> int:
        current = self.buffers[state]
        number = self.buffer(BufferKind.STAGED, current.index, current.dtype, current.shape)
        self.updates.append((current.index, number))
        return number

    def constant(self, value: np.ndarray) -> int:
        self.constants.append(value)
        index = len(self.constants) - 1
        return self.buffer(BufferKind.CONST, index, value.dtype, self.shape(value.shape))

    def kernel(
        self,
        symbol: str,
        *buffers: int,
        cost: int = 1,
        blocks: int | None = None,
        dims: tuple[int, ...] = (),
        traps: bool = False,
    ) -> None:
        """One block per element of the last buffer, unless `blocks` is given."""
        count = self.elements(self.buffers[buffers[-1]].shape) if blocks is None else blocks
        sizes = tuple(self.size(dim) for dim in dims)
        self.code.append(
            Kernel(symbol, buffers, sizes, count, self.size(cost), self.size(0), 0, traps)
        )

    def build(self) -> Program:
        return Program(
            name="f",
            dims=self.dims,
            sizes=tuple(self.sizes),
            constraints=tuple(self.constraints),
            inputs=tuple(self.inputs),
            states=tuple(self.states),
            constants=tuple(self.constants),
            buffers=tuple(self.buffers),
            outputs=tuple(self.outputs),
            updates=tuple(self.updates),
            arena=self.arena,
            code=tuple(self.code),
            locations=("model.py:1", "model.py:2"),
        )


def affine_program(*axes: int | str, dtype: np.dtype = F32, cost: int = 1, **kw: int) -> Program:
    """y = 2 x + 1 for x of the given shape."""
    b = Builder(*dict.fromkeys(axis for axis in axes if isinstance(axis, str)))
    x = b.input(*axes, dtype=dtype, **kw)
    b.kernel("affine", x, b.output(*axes, dtype=dtype), cost=cost)
    return b.build()


def affine_executable(*axes: int | str, dtype: np.dtype = F32, cost: int = 1) -> Executable:
    code = object_code(affine("float" if dtype == F32 else "double"))
    return load(affine_program(*axes, dtype=dtype, cost=cost), code)


def updating(axis: int | str, *, in_place: bool, cost: int = 1) -> Program:
    """s <- 2 s + 1; returns the old s."""
    b = Builder(*([axis] if isinstance(axis, str) else []))
    current = b.state(axis)
    b.code.append(Copy(b.output(axis), current))
    if in_place:
        b.code.append(Commit())
        b.kernel("affine", current, current, cost=cost)
        b.updates.append((0, current))
    else:
        b.kernel("affine", current, b.staged(current), cost=cost)
    return b.build()


def callable_of(*executables: Executable, structure: Structure = Structure.SINGLE) -> Callable:
    """A Callable that answers `("miss", args, kwargs)` when nothing matches."""
    made = Callable(lambda args, kwargs: ("miss", args, kwargs))
    for executable in executables:
        made.add_entry(executable, structure, first=False)
    return made


def state_of(values: list[float], name: str = "w") -> State:
    return State(np.array(values, F32), name)
