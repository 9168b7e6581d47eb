"""Programs as pictures: boxes and arrows, from a function or from its kernels.

before: a function or a plan.  after: a `Picture`, which `dot.py` and `svg.py` write down.

Invariants: every param, node and result of a function is a box, and every operand an arrow; for a
plan the boxes are kernels, inputs and results, and an arrow is one array that one hands to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symc.ir.core import Function, Node, Value
from symc.ir.entry import Entry
from symc.ir.formula import formula
from symc.ir.locations import UNKNOWN, Location
from symc.ir.ops.record import Kind
from symc.ir.types import Literal
from symc.passes.plan import Plan
from symc.records import dataclass

INPUT, OUTPUT, CONSTANT, POINTWISE, VIEW, HEAVY, KERNEL = (
    "input",
    "output",
    "constant",
    "pointwise",
    "view",
    "heavy",
    "kernel",
)
_KINDS = {
    Kind.ELEMENTWISE: POINTWISE,
    Kind.SOURCE: CONSTANT,
    Kind.VIEW: VIEW,
    Kind.ASSEMBLE: VIEW,
    Kind.REDUCE: HEAVY,
    Kind.CONTRACT: HEAVY,
    Kind.GATHER: HEAVY,
    Kind.SCATTER: HEAVY,
    Kind.CONTROL: HEAVY,
}
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its lines of text, its kind (for the colour), and what a pointer shows."""

    lines: tuple[str, ...]
    kind: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    """An arrow between boxes by number, with the type of what it carries."""

    source: int
    target: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A named graph."""

    name: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def result_names(entry: Entry) -> tuple[str, ...]:
    """What the results of an entry are: outputs by number, then new contents of states."""
    count = entry.outputs
    outputs = ["result"] if count == 1 else [f"result {number}" for number in range(count)]
    return (*outputs, *(f"new {entry.states[slot]}" for slot in entry.updates))


def function_picture(function: Function, names: Sequence[str] = ()) -> Picture:
    """Params, nodes and results of a function; `names` of the results."""
    drawn = _Drawing()
    for number, param in enumerate(function.params):
        drawn.box(Box((param.name or f"arg{number}", str(param.type)), INPUT), [param])
    for node in function.nodes:
        box = Box(
            (_named(node), _types(node.results)), _KINDS[node.op.kind], _lines(node.locations)
        )
        number = drawn.box(box, node.results)
        for operand in node.operands:
            drawn.arrow(operand, number)
    drawn.outputs(function.results, names)
    return drawn.picture(function.name)


def plan_picture(plan: Plan) -> Picture:
    """Kernels of a plan, with the arrays that they hand on."""
    drawn = _Drawing()
    function = plan.function
    for number, param in enumerate(function.params):
        drawn.box(Box((param.name or f"arg{number}", str(param.type)), INPUT), [param])
    for step in plan.steps:
        made = [formula(value, _SHOWN) for value in step.writes()]
        box = Box((step.nest.name, *made[:3]), KERNEL, _lines(step.nest.locations))
        sources = [(plan.root(value), value) for value in step.reads()]
        number = drawn.box(box, [])
        for root, value in sources:
            drawn.arrow(root if root in drawn.made else value, number)
        drawn.made.update((plan.root(value), number) for value in step.writes())
    results = [plan.root(value) for value in function.results]
    drawn.outputs(results, result_names(plan.entry))
    return drawn.picture(function.name)


class _Drawing:
    """Boxes and arrows so far; `made` says which box a value comes from."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self.made: dict[Value, int] = {}

    def box(self, box: Box, values: Iterable[Value]) -> int:
        """Add a box that makes `values`; its number."""
        self.boxes.append(box)
        self.made.update((value, len(self.boxes) - 1) for value in values)
        return len(self.boxes) - 1

    def arrow(self, value: Value, target: int) -> None:
        """From where `value` is made; a constant that no box makes gets its own."""
        if value not in self.made:
            self.box(Box((formula(value, _SHOWN), str(value.type)), CONSTANT), [value])
        self.arrows.append(Arrow(self.made[value], target, str(value.type)))

    def outputs(self, results: Sequence[Value], names: Sequence[str]) -> None:
        """One box per result."""
        for number, value in enumerate(results):
            name = names[number] if number < len(names) else f"result {number}"
            self.arrow(value, self.box(Box((name, str(value.type)), OUTPUT), []))

    def picture(self, name: str) -> Picture:
        return Picture(name, tuple(self.boxes), tuple(self.arrows))


def _named(node: Node) -> str:
    """The operation, and the number that a constant is."""
    literal = node.attrs.get("value")
    shown = formula(node.results[0], _SHOWN) if isinstance(literal, Literal) else ""
    axes = node.attrs.get("axes")
    return shown or (f"{node.op.name} {list(axes)}" if isinstance(axes, tuple) else node.op.name)


def _types(values: Sequence[Value]) -> str:
    return ", ".join(str(value.type) for value in values)


def _lines(locations: Iterable[Location]) -> str:
    return ", ".join(str(place) for place in locations if place != UNKNOWN)
