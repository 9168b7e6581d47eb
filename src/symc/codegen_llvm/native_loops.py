"""Scans, while loops and switches as native functions around the programs of their bodies.

before: a `Control` and the programs of its entries.  after: its function in a module, and the one
launch that calls it.

Behind the operands come the tapes of the bodies; then temporaries, in the order of
`Launch.temporaries`: the arenas of the bodies, and a second buffer for each carry whose new value
lies elsewhere.  The first buffer of a carry is that of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Final

from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.contract.size import as_reg
from symc.codegen_llvm.lanes import Lanes
from symc.codegen_llvm.native import GUESS, Places, Runner, advanced, copy
from symc.codegen_llvm.pauses import Pauses, Rows
from symc.codegen_llvm.registers import Elements, Registers, fits, work
from symc.codegen_llvm.text import Module, Reg, i64
from symc.ir import ops
from symc.ir.dims import Size, maximum, minimum, size_product
from symc.ir.launch import Launch
from symc.ir.ops.counting import is_count
from symc.ir.ops.loop_groups import Groups, WhileGroups, groups, while_groups
from symc.ir.program import Program
from symc.ir.types import TensorType
from symc.passes.plan import Control
from symc.records import dataclass

INSTRUCTION_COST: Final = 8
STEP_COST: Final = 16 * 5  # of one step besides its kernels
MANY: Final = 1 << 30  # steps that a loop is taken to run at most


@dataclass(slots=True)
class _Native:
    """One function under construction."""

    control: Control
    k: KernelEmitter
    runners: list[Runner]
    outline: frozenset[str]
    temporaries: list[Size] = field(default_factory=list)

    @property
    def tapes(self) -> int:
        """How many tapes the bodies need."""
        return sum(runner.tapes for runner in self.runners)

    def tapes_of(self, runner: Runner) -> list[Reg]:
        """The tapes of one body."""
        start = len(self.control.operands)
        start += sum(r.tapes for r in self.runners[: self.runners.index(runner)])
        return [self.k.buffer(start + i) for i in range(runner.tapes)]

    def room(self, bytes: Size) -> Reg:
        """The address of a new temporary."""
        self.temporaries.append(bytes)
        first = len(self.control.operands) + self.tapes
        return self.k.buffer(first + len(self.temporaries) - 1)

    def arena(self, runner: Runner) -> Reg | None:
        """Room for the temporaries of a body."""
        return None if runner.arena == 0 else self.room(runner.arena)

    def bytes(self, operand: int) -> int | Reg:
        """The bytes of an operand."""
        return self.k.size(self.control.operands[operand].type.bytes)

    def row(self, operand: int) -> int | Reg:
        """The bytes of a row of an operand."""
        return self.k.size(_row_bytes(self, operand))


def native_launch(
    module: Module,
    control: Control,
    programs: Sequence[Program],
    symbol: str,
    outline: frozenset[str],
) -> Launch:
    """Write the function of `control`; the launch that calls it.

    `outline`: names of math functions that are functions of the module.
    """
    k = KernelEmitter(module, control.symbols)
    runners = [Runner(k, p, f"{symbol}.{i}") for i, p in enumerate(programs)]
    made = _Native(control, k, runners, outline)
    counts = is_count(control.node)
    if counts:
        cost = _count(made)
    elif fits(control.node):
        scan = control.node.op is ops.SCAN
        cost = _scan_in_registers(made) if scan else _while_in_registers(made)
    elif control.node.op is ops.SCAN:
        cost = _scan(made)
    elif control.node.op is ops.WHILE:
        cost = _while(made)
    else:
        cost = _switch(made)
    k.finish(symbol)
    scratch: Size = 0
    for runner in runners:
        scratch = maximum(scratch, runner.scratch)
    numbers = range(len(control.operands) + made.tapes + len(made.temporaries))
    loop = control.node.op is not ops.SWITCH and not counts
    steps_unknown = control.node.op is ops.WHILE and while_groups(control.node).most is None
    return Launch(
        symbol,
        tuple(numbers),
        control.symbols,
        1,
        cost,
        scratch,
        tuple(made.temporaries),
        k.traps,
        made.tapes,
        pauses=loop,
        endless=(loop and steps_unknown) or any(runner.endless for runner in runners),
    )


@dataclass(frozen=True, slots=True)
class _Carries:
    """Where carries lie: results, and the second buffers of those that change places."""

    first: list[Reg]
    second: list[Reg | None]
    sizes: list[int | Reg]


def _carries(made: _Native, runner: Runner, start: int, results: int) -> _Carries:
    """Copy the first values of the carries to where the loop keeps them."""
    swaps = runner.swaps()
    first, second, sizes = [], [], []
    for i, swap in enumerate(swaps):
        bytes = made.control.operands[results + i].type.bytes
        first.append(made.k.buffer(results + i))
        second.append(made.room(bytes) if swap else None)
        sizes.append(made.bytes(results + i))
        given = made.k.buffer(start + i)
        with made.k.when(made.k.emit("i1", f"icmp ne {given}, {first[-1].name}")):
            copy(made.k, first[-1], given, as_reg(sizes[-1]))
    return _Carries(first, second, sizes)


def _turned(carried: Sequence[Reg], swaps: Sequence[bool]) -> list[tuple[Reg, Reg]]:
    """(current, other) of each carry from what the loop carries: two pointers, or one."""
    found = []
    rest = iter(carried)
    for swap in swaps:
        now = next(rest)
        found.append((now, next(rest) if swap else now))
    return found


def _started(carries: _Carries) -> list[Reg]:
    found = []
    for first, second in zip(carries.first, carries.second, strict=True):
        found.append(first)
        if second is not None:
            found.append(second)
    return found


def _following(pairs: Sequence[tuple[Reg, Reg]], swaps: Sequence[bool]) -> list[Reg]:
    found = []
    for (now, other), swap in zip(pairs, swaps, strict=True):
        found += [other, now] if swap else [now]
    return found


def _settled(k: KernelEmitter, carries: _Carries, pairs: Sequence[tuple[Reg, Reg]]) -> None:
    """Bring last values that lie in second buffers to the results."""
    for first, second, bytes, (now, _) in zip(
        carries.first, carries.second, carries.sizes, pairs, strict=True
    ):
        if second is not None:
            with k.when(k.emit("i1", f"icmp ne {now}, {first.name}")):
                copy(k, first, now, as_reg(bytes))


def _scan(made: _Native) -> Size:
    k, control = made.k, made.control
    (runner,) = made.runners
    node = control.node
    parts = groups(node)
    count = len(node.operands)
    length = as_reg(k.size(parts.length))
    arena = made.arena(runner)
    carries = _carries(made, runner, parts.consts, count)
    swaps = runner.swaps()
    number = k.slot("i64")
    consts = [k.buffer(i) for i in range(parts.consts)]
    xs = range(parts.consts + parts.carries, count)
    ys = range(count + parts.carries, len(control.operands))
    place = _rows_kept(made, parts)
    pauses = Pauses(k)
    tapes = made.tapes_of(runner)
    with k.loop(i64(0), length, i64(1), _started(carries)) as loop:
        pauses.left(pauses.step(pauses.entered()))
        step = loop.index
        if parts.reverse:
            last = k.emit("i64", f"sub nsw i64 {length.name}, 1")
            step = k.emit("i64", f"sub nsw i64 {last.name}, {step.name}")
        k.line(f"store {step}, {number}, align 8")
        pairs = _turned(loop.carried, swaps)
        runner.run(
            Places(
                [*consts, *(advanced(k, k.buffer(i), step, made.row(i)) for i in xs), number],
                [now for now, _ in pairs],
                [other for _, other in pairs],
                [place(i, step) for i in ys],
                arena,
                tapes,
            )
        )
        loop.carry(*_following(pairs, swaps))
    _settled(k, carries, _turned(loop.carried, swaps))
    return parts.length * (runner.cost + STEP_COST) + STEP_COST


def _rows_kept(made: _Native, parts: Groups) -> Callable[[int, Reg], Reg]:
    """Where the row of a y goes that is made in a step: behind the others that are kept.

    Rows that are not kept go to one place that nobody reads.
    """
    k, first = made.k, len(made.control.node.operands) + parts.carries
    if not parts.kept:
        return lambda y, step: advanced(k, k.buffer(y), step, made.row(y))
    lost = [made.room(_row_bytes(made, first + i)) for i in range(len(parts.kept))]

    def place(y: int, step: Reg) -> Reg:
        window = parts.kept[y - first]
        start, size = as_reg(k.size(window.start)), as_reg(k.size(window.size))
        row = k.emit("i64", f"sub nsw {step}, {start.name}")
        inside = None
        if window.step > 1:
            taken = k.emit("i64", f"sdiv {row}, {window.step}")
            back = k.emit("i64", f"mul nsw {taken}, {window.step}")
            inside = k.emit("i1", f"icmp eq {row}, {back.name}")
            row = taken
        kept = k.emit("i1", f"icmp ult {row}, {size.name}")
        if inside is not None:
            kept = k.emit("i1", f"and {kept}, {inside.name}")
        target = advanced(k, k.buffer(y), row, made.row(y))
        return k.emit("ptr", f"select {kept}, {target}, {lost[y - first]}")

    return place


def _row_bytes(made: _Native, operand: int) -> Size:
    type = made.control.operands[operand].type
    return size_product(type.shape[1:]) * type.dtype.itemsize


@dataclass(frozen=True, slots=True)
class _Steps:
    """What a while loop counts: its groups, the most steps, and the rows it writes."""

    parts: WhileGroups
    most: Reg | None
    rows: Rows
    ys: int


def _steps(made: _Native) -> _Steps:
    k, control = made.k, made.control
    parts = while_groups(control.node)
    first = len(control.node.operands) + parts.carries
    ys = 0 if parts.rows is None else len(control.operands) - first - 1
    most = None if parts.most is None else as_reg(k.size(parts.most))
    numbers = range(first, first + ys)
    sizes = [_row_bytes(made, i) for i in numbers]
    return _Steps(parts, most, Rows(k, [k.buffer(i) for i in numbers], sizes), ys)


class _WhileLoop:
    """The frame of a while loop: `carried` registers, and behind them the number of the step and
    the rows there is room for."""

    def __init__(self, made: _Native, steps: _Steps, start: Sequence[Reg]) -> None:
        self._k = k = made.k
        self._steps = steps
        self._made = made
        self._start = [*start, i64(0), i64(0)]
        self._head, self._body, self._done = (k.new_label(h) for h in ("head", "body", "done"))
        self._before = k.block
        k.jump(self._head)
        k.open(self._head)
        self._current = [Reg(k.fresh("c"), reg.type) for reg in self._start]
        self._mark = len(k.lines)
        self.carried = self._current[:-2]
        self.number, self._room = self._current[-2:]
        if steps.most is not None:
            more = k.new_label("more")
            test = k.emit("i1", f"icmp slt {self.number}, {steps.most.name}")
            k.branch(test, more, self._done)
            k.open(more)

    def decide(self, going: Reg) -> None:
        """Go on where the i1 `going` holds; what follows is a step."""
        self._k.branch(going, self._body, self._done)
        self._k.open(self._body)
        self._room = self._steps.rows.room(self.number, self._room)

    def again(self, following: Sequence[Reg]) -> None:
        """The end of a step, and of the loop."""
        k = self._k
        more = k.emit("i64", f"add nsw {self.number}, 1")
        last = k.block
        k.jump(self._head)
        rows = zip(self._current, self._start, [*following, more, self._room], strict=True)
        before = self._before
        k.lines[self._mark : self._mark] = [
            f"  {c.name} = phi {c.type} [ {first.name}, %{before} ], [ {after.name}, %{last} ]"
            for c, first, after in rows
        ]
        k.open(self._done)
        if self._steps.parts.rows is not None:
            place = k.buffer(len(self._made.control.operands) - 1)
            k.line(f"store {self.number}, {place}, align 8")


def _while(made: _Native) -> Size:
    k, control = made.k, made.control
    test, body = made.runners
    steps = _steps(made)
    parts = steps.parts
    count, first = len(control.node.operands), parts.consts
    arenas = [made.arena(test), made.arena(body)]
    carries = _carries(made, body, first, count)
    swaps = body.swaps()
    going, number = k.slot("i8"), k.slot("i64")
    pauses = Pauses(k)
    consts = [k.buffer(i) for i in range(first)]
    xs = range(first + parts.carries, count)
    loop = _WhileLoop(made, steps, _started(carries))
    pairs = _turned(loop.carried, swaps)
    pauses.left(pauses.step(pauses.entered()))
    values = [now for now, _ in pairs]
    test.run(Places([*consts, *values], [], [], [going], arenas[0], made.tapes_of(test)))
    found = k.emit("i8", f"load i8, {going}, align 1")
    loop.decide(k.emit("i1", f"icmp ne {found}, 0"))
    k.line(f"store {loop.number}, {number}, align 8")
    rows = [advanced(k, k.buffer(i), loop.number, made.row(i)) for i in xs]
    body.run(
        Places(
            [*consts, *rows, number],
            values,
            [other for _, other in pairs],
            [steps.rows.place(i, loop.number) for i in range(steps.ys)],
            arenas[1],
            made.tapes_of(body),
        )
    )
    loop.again(_following(pairs, swaps))
    _settled(k, carries, pairs)
    return _taken(parts) * (test.cost + body.cost + 2 * STEP_COST)


def _taken(parts: WhileGroups) -> Size:
    """How many steps a loop is taken to run."""
    return GUESS if parts.most is None else minimum(parts.most, MANY)


# In registers.
def _flat(rows: Sequence[Elements]) -> list[Lanes]:
    return [element for row in rows for element in row]


def _unflat(made: Registers, types: Sequence[TensorType], regs: Sequence[Reg]) -> list[Elements]:
    """Registers as the elements of values of these types."""
    rest = iter(regs)
    found = []
    for type in types:
        assert isinstance(type.elements, int)
        found.append([made.wrapped(next(rest), type.dtype) for _ in range(type.elements)])
    return found


def _scan_in_registers(made: _Native) -> Size:
    k, control = made.k, made.control
    node = control.node
    (body,) = node.regions
    parts = groups(node)
    count = len(node.operands)
    length = as_reg(k.size(parts.length))
    scalars = Registers(k, made.outline)
    _, carries, xs = parts.split([x.type for x in body.params])
    known = scalars.constants([k.buffer(i) for i in range(parts.consts)], node.regions)
    starts = [scalars.load(k.buffer(parts.consts + i), type) for i, type in enumerate(carries)]
    start = [scalars.reg(x) for x in _flat(starts)]
    ys = [result.type for result in body.results[parts.carries :]]
    place = _rows_kept(made, parts)
    pauses = Pauses(k)
    with k.loop(i64(0), length, i64(1), [*start, pauses.entered()]) as loop:
        left = pauses.step(loop.carried[-1])
        step = loop.index
        if parts.reverse:
            last = k.emit("i64", f"sub nsw i64 {length.name}, 1")
            step = k.emit("i64", f"sub nsw i64 {last.name}, {step.name}")
        rows = []
        for i, type in enumerate(xs):
            number = parts.consts + parts.carries + i
            rows.append(scalars.load(advanced(k, k.buffer(number), step, made.row(number)), type))
        current = _unflat(scalars, carries, loop.carried[:-1])
        counted = [scalars.wrapped(step, body.params[-1].type.dtype)]
        found = scalars.run(body, [*known, *current, *rows, counted])
        for i, (type, elements) in enumerate(zip(ys, found[parts.carries :], strict=True)):
            number = count + parts.carries + i
            scalars.store(place(number, step), type, elements)
        loop.carry(*(scalars.reg(x) for x in _flat(found[: parts.carries])), left)
    pauses.left(loop.carried[-1])
    for i, elements in enumerate(_unflat(scalars, carries, loop.carried[:-1])):
        scalars.store(k.buffer(count + i), carries[i], elements)
    return parts.length * (STEP_COST + INSTRUCTION_COST * work(node.regions)) + STEP_COST


def _while_in_registers(made: _Native) -> Size:
    k, control = made.k, made.control
    test, body = control.node.regions
    steps = _steps(made)
    parts = steps.parts
    count = len(control.node.operands)
    scalars = Registers(k, made.outline)
    _, carries, xs = parts.split([x.type for x in body.params])
    known = scalars.constants([k.buffer(i) for i in range(parts.consts)], (test, body))
    starts = [scalars.load(k.buffer(parts.consts + i), type) for i, type in enumerate(carries)]
    pauses = Pauses(k)
    start = [scalars.reg(x) for x in _flat(starts)]
    loop = _WhileLoop(made, steps, [*start, pauses.entered()])
    values = _unflat(scalars, carries, loop.carried[:-1])
    left = pauses.step(loop.carried[-1])
    ((going,),) = scalars.run(test, [*known, *values])
    loop.decide(scalars.reg(going))
    rows = []
    for i, type in enumerate(xs, parts.consts + parts.carries):
        place = advanced(k, k.buffer(i), loop.number, made.row(i))
        rows.append(scalars.load(place, type))
    counted = [[scalars.wrapped(loop.number, p.type.dtype)] for p in body.params[count:]]
    found = scalars.run(body, [*known, *values, *rows, *counted])
    for i, result in enumerate(body.results[parts.carries :]):
        scalars.store(steps.rows.place(i, loop.number), result.type, found[parts.carries + i])
    loop.again([*(scalars.reg(x) for x in _flat(found[: parts.carries])), left])
    pauses.left(loop.carried[-1])
    for i, elements in enumerate(values):
        scalars.store(k.buffer(count + i), carries[i], elements)
    return _taken(parts) * (2 * STEP_COST + INSTRUCTION_COST * work(control.node.regions))


def _count(made: _Native) -> Size:
    """A loop that only counts, at once: n, the first t; the last t, how many steps."""
    k = made.k
    limit, start, last, steps = (k.buffer(i) for i in range(4))
    n = k.emit("i64", f"load i64, {limit}, align 8")
    t = k.emit("i64", f"load i64, {start}, align 8")
    some = k.emit("i1", f"icmp sgt {n}, {t.name}")
    after = k.emit("i64", f"select {some}, {n}, {t}")
    k.line(f"store {after}, {last}, align 8")
    found = k.emit("i64", f"sub {after}, {t.name}")
    k.line(f"store {found}, {steps}, align 8")
    return STEP_COST


def _switch(made: _Native) -> Size:
    k, control = made.k, made.control
    node = control.node
    count = len(node.operands)
    chosen = k.emit("i64", f"load i64, {k.buffer(0)}, align 8")
    inputs = [k.buffer(i) for i in range(1, count)]
    outputs = [k.buffer(i) for i in range(count, len(control.operands))]
    labels = [k.new_label("branch") for _ in made.runners]
    done = k.new_label("done")
    low, high = i64(0), i64(len(labels) - 1)
    number = _clamped(k, chosen, low, high)
    arms = " ".join(f"i64 {i}, label %{label}" for i, label in enumerate(labels))
    k.line(f"switch {number}, label %{labels[-1]} [ {arms} ]")
    cost: Size = STEP_COST
    for label, runner in zip(labels, made.runners, strict=True):
        k.open(label)
        runner.run(Places(inputs, [], [], outputs, made.arena(runner), made.tapes_of(runner)))
        k.jump(done)
        cost = maximum(cost, runner.cost)
    k.open(done)
    return cost


def _clamped(k: KernelEmitter, value: Reg, low: Reg, high: Reg) -> Reg:
    for verb, limit in (("smax", low), ("smin", high)):
        k.module.declare(f"llvm.{verb}.i64", "i64 {}(i64, i64)")
        value = k.emit("i64", f"call i64 @llvm.{verb}.i64({value}, {limit})")
    return value
