"""LLVM IR as text: a module, functions under construction, registers, loops with carried values.

What it is: the only place that knows LLVM's textual syntax for blocks and phis. Everything else in
this room asks an `Emitter` for registers.  Text, not llvmlite.ir: building text is 19x faster.

Invariants: a register is written once; every block that is opened is ended by exactly one
terminator; a loop's carried values become phis in its header and are plain registers elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import Final

from symc.records import dataclass

# Attributes of a function that may put vectors on its stack: none then lies across two cache lines,
# which would halve the speed of a long body. The calling convention promises 16 bytes only.
FRAME: Final = "nounwind alignstack(64)"


@dataclass(frozen=True, slots=True)
class Reg:
    """An LLVM value: a register (`%v3`), a constant (`7`, `zeroinitializer`) or a global."""

    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


@dataclass(slots=True)
class Loop:
    """An open loop: its index, its carried registers, and what they become in the next step."""

    index: Reg
    carried: tuple[Reg, ...]
    following: tuple[Reg, ...] | None = None

    def carry(self, *values: Reg) -> None:
        """Give the carried values of the next step, in order."""
        self.following = tuple(values)


@dataclass(slots=True)
class Module:
    """A module under construction: declarations and globals are kept once, functions in order."""

    functions: list[str] = field(default_factory=list)
    _declarations: dict[str, str] = field(default_factory=dict)
    _globals: dict[str, str] = field(default_factory=dict)
    _internal: dict[str, str] = field(default_factory=dict)

    def declare(self, name: str, signature: str) -> str:
        """Declare `@name`; `signature` has a `{}` where the name stands. Returns `@name`."""
        self._declarations.setdefault(name, "declare " + signature.format(f"@{name}"))
        return f"@{name}"

    def constant(self, name: str, body: str) -> str:
        """A private constant `@name = ... body`, written once. Returns `@name`."""
        self._globals.setdefault(name, f"@{name} = private unnamed_addr constant {body}")
        return f"@{name}"

    def internal(self, name: str, make: Callable[[], str]) -> str:
        """An internal function made at most once, the first time its name is asked for."""
        if name not in self._internal:
            self._internal[name] = ""  # reserved, so that a recursive request ends
            self._internal[name] = make()
        return f"@{name}"

    def include(self, other: Module) -> None:
        """Everything of another module but its functions, each name once."""
        self._declarations.update(other._declarations)
        self._globals.update(other._globals)
        self._internal.update(other._internal)

    def text(self) -> str:
        parts = [*self._globals.values(), *self._declarations.values()]
        return "\n".join([*parts, *self._internal.values(), *self.functions]) + "\n"


class Emitter:
    """The body of one LLVM function, written front to back."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.lines: list[str] = []
        self.block = "entry"
        self._count = 0

    def fresh(self, hint: str = "v") -> str:
        self._count += 1
        return f"%{hint}{self._count}"

    def emit(self, type: str, rhs: str, hint: str = "v") -> Reg:
        """Write `%fresh = rhs` and return it as a register of `type`."""
        name = self.fresh(hint)
        self.lines.append(f"  {name} = {rhs}")
        return Reg(name, type)

    def line(self, text: str) -> None:
        """Write an instruction that has no result."""
        self.lines.append(f"  {text}")

    def new_label(self, hint: str) -> str:
        return self.fresh(hint)[1:]

    def open(self, label: str) -> None:
        """Begin block `label`; the block before must have been ended."""
        self.lines.append(f"{label}:")
        self.block = label

    def jump(self, label: str) -> None:
        self.line(f"br label %{label}")

    def branch(
        self, condition: Reg, then: str, otherwise: str, *, rare: bool | None = None
    ) -> None:
        """`rare` says that the condition seldom holds (or seldom does not: False)."""
        weights = ""
        if rare is not None:
            often, seldom = "i32 4096", "i32 1"
            pair = (seldom, often) if rare else (often, seldom)
            weights = f', !prof !{{!"branch_weights", {", ".join(pair)}}}'
        self.line(f"br i1 {condition.name}, label %{then}, label %{otherwise}{weights}")

    def phi(self, type: str, arms: Sequence[tuple[Reg, str]], hint: str = "p") -> Reg:
        """A phi at the start of the open block; arms are (value, label)."""
        text = ", ".join(f"[ {value.name}, %{label} ]" for value, label in arms)
        return self.emit(type, f"phi {type} {text}", hint)

    @contextmanager
    def loop(self, start: Reg, stop: Reg, step: Reg, carried: Sequence[Reg] = ()) -> Iterator[Loop]:
        """`for (i = start; i < stop; i += step)`, i64 and signed; may run zero times.

        Inside, read `loop.index` and `loop.carried` and call `loop.carry(...)` once; after the
        `with`, `loop.carried` holds the final values.
        """
        head, body, done = (self.new_label(h) for h in ("head", "body", "done"))
        before = self.block
        self.jump(head)
        self.open(head)
        index = Reg(self.fresh("i"), "i64")
        values = tuple(Reg(self.fresh("c"), value.type) for value in carried)
        mark = len(self.lines)
        test = self.emit("i1", f"icmp slt i64 {index.name}, {stop.name}")
        self.branch(test, body, done)
        self.open(body)
        loop = Loop(index, values)
        yield loop
        following = loop.following if loop.following is not None else values
        after = self.emit("i64", f"add nsw i64 {index.name}, {step.name}", "i")
        last = self.block
        self.jump(head)
        arms = [(index, start, after), *zip(values, carried, following, strict=True)]
        self.lines[mark:mark] = [
            f"  {v.name} = phi {v.type} [ {first.name}, %{before} ], [ {following.name}, %{last} ]"
            for v, first, following in arms
        ]
        self.open(done)


def i64(value: int) -> Reg:
    """The i64 constant `value`."""
    return Reg(str(value), "i64")
