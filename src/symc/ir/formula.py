"""Values as short expressions in the user's names: `log(1 + exp(x))`, `sum(x @ W, axis=1)`.

before: a value of a graph.  after: one line of Python-like text, never longer than asked for by
much: what lies too deep is written `...`.  Broadcasts are left out, and so are reshapes that only
add or remove axes of size 1, since the user wrote few of them.

Invariant: the time depends on the length of the text, not on the size of the graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from symc.ir import ops
from symc.ir.core import Attr, Node, Value
from symc.ir.ops.record import Kind, Op
from symc.ir.types import Literal, dtype_name

LONGEST: Final = 72
_DEEPEST: Final = 6
_CUT: Final = "..."

# Sign and strength of what Python writes between operands.
_INFIX: Final[dict[Op, tuple[str, int]]] = {
    ops.OR: ("|", 2),
    ops.XOR: ("^", 3),
    ops.AND: ("&", 4),
    ops.EQ: ("==", 1),
    ops.NE: ("!=", 1),
    ops.LT: ("<", 1),
    ops.LE: ("<=", 1),
    ops.GT: (">", 1),
    ops.GE: (">=", 1),
    ops.ADD: ("+", 6),
    ops.SUB: ("-", 6),
    ops.MUL: ("*", 7),
    ops.DIV: ("/", 7),
    ops.FLOORDIV: ("//", 7),
    ops.MOD: ("%", 7),
    ops.DOT: ("@", 7),
    ops.POW: ("**", 9),
}
_PREFIX: Final[dict[Op, tuple[str, int]]] = {ops.NEG: ("-", 8), ops.NOT: ("~", 8)}
_LOOSE, _TIGHT = 0, 10

Text = tuple[str, int]  # with the strength of its outermost sign


def formula(value: Value, longest: int = LONGEST, names: Mapping[Value, str] | None = None) -> str:
    """The expression that makes `value`, as deep as fits into `longest` characters.

    names: of values that have none of their own, such as the params of a loop's body.
    """
    shown = ""
    for depth in range(1, _DEEPEST + 1):
        text = _Writer(depth, longest, names or {}).text(value, depth)[0]
        if shown and (len(text) > longest or text == shown):
            break
        shown = text
    return shown


class _Writer:
    """One attempt: stops descending when the text has become too long."""

    def __init__(self, depth: int, longest: int, names: Mapping[Value, str]) -> None:
        self.depth = depth
        self.names = names
        self.room = 4 * longest

    def text(self, value: Value, depth: int) -> Text:
        """The text of a value, no deeper than `depth` operations."""
        while value.node is not None and _silent(value.node):
            value = value.node.operands[0]
        node = value.node
        name = self.names.get(value) or (value.name if node is None else None)
        if name is not None:
            return name, _TIGHT
        if node is None:
            return f"input {value.type}", _TIGHT
        if node.op is ops.CONSTANT:
            return _constant(node), _TIGHT
        if depth == 0 or self.room < 0:
            return _CUT, _TIGHT
        found = self._node(node, depth)
        self.room -= len(found[0]) if depth == self.depth - 1 else 4
        return found

    def _node(self, node: Node, depth: int) -> Text:
        parts = [self.text(operand, depth - 1) for operand in node.operands[:4]]
        if len(node.operands) > 4:
            parts.append((_CUT, _TIGHT))
        if node.op in _INFIX and len(parts) == 2:
            return _between(node.op, parts)
        if node.op in _PREFIX:
            sign, strength = _PREFIX[node.op]
            return sign + _inside(parts[0], strength), strength
        return _called(node, [text for text, _ in parts]), _TIGHT


def _silent(node: Node) -> bool:
    """Whether an operation only repeats elements or adds axes of size 1."""
    if node.op is not ops.RESHAPE:
        return node.op is ops.BROADCAST
    shapes = (node.operands[0].type.shape, node.results[0].type.shape)
    return len({tuple(size for size in shape if size != 1) for shape in shapes}) == 1


def _between(op: Op, parts: Sequence[Text]) -> Text:
    sign, strength = _INFIX[op]
    left, right = parts
    first = _inside(left, strength + (op is ops.POW))
    second = _inside(right, strength + (op is not ops.POW))
    return f"{first} {sign} {second}", strength


def _inside(part: Text, strength: int) -> str:
    text, own = part
    return text if own >= strength else f"({text})"


def _called(node: Node, parts: list[str]) -> str:
    """`name(operands, what matters of the attributes)`, or the method that a view is."""
    match node.op.kind:
        case Kind.VIEW:
            return _view(node, parts[0])
        case Kind.SOURCE:
            return _source(node)
        case Kind.REDUCE:
            axes = node.attrs.get("axes")
            shown = axes if isinstance(axes, tuple) else ()
            all_axes = len(shown) == node.operands[0].type.rank
            return f"{node.op.name}({parts[0]}{'' if all_axes else f', axis={_axes(shown)}'})"
        case _:
            name = node.op.name
            dtype = node.attrs.get("dtype")
            if isinstance(dtype, np.dtype):
                name = dtype_name(dtype)
            return f"{name}({', '.join(parts)})"


def _axes(axes: tuple[Attr, ...]) -> str:
    return str(axes[0]) if len(axes) == 1 else f"({', '.join(map(str, axes))})"


def _view(node: Node, operand: str) -> str:
    inner = operand if operand.isidentifier() or operand.endswith(")") else f"({operand})"
    axes = node.attrs.get("axes")
    if node.op is ops.PERMUTE:
        return f"{inner}.T" if axes == (1, 0) else f"permute({operand}, {_axes(_tuple(axes))})"
    if node.op is ops.RESHAPE:
        return f"reshape({operand}, {_axes(node.results[0].type.shape)})"
    if node.op is ops.SLICE:
        return f"{inner}[{_slices(node)}]"
    return f"{node.op.name}({operand})"


def _tuple(value: Attr) -> tuple[Attr, ...]:
    return value if isinstance(value, tuple) else ()


def _slices(node: Node) -> str:
    starts, sizes, steps = (_tuple(node.attrs.get(name)) for name in ("starts", "sizes", "steps"))
    shown = []
    whole = node.operands[0].type.shape
    for start, size, step, extent in zip(starts, sizes, steps, whole, strict=True):
        if (start, step) == (0, 1) and size == extent:
            shown.append(":")
        elif isinstance(start, int) and isinstance(size, int) and step == 1:
            shown.append(f"{start}:{start + size}")
        else:
            shown.append(f"{start}:..:{step}")
    while len(shown) > 1 and shown[-1] == ":":
        shown.pop()
    return ", ".join(shown)


def _source(node: Node) -> str:
    size = node.attrs.get("size")
    return str(size) if size is not None else f"{node.op.name}({node.results[0].type})"


def _constant(node: Node) -> str:
    literal = node.attrs.get("value")
    if not isinstance(literal, Literal) or literal.array.size != 1:
        return f"constant {node.results[0].type}"
    number = literal.array.reshape(-1)[0].item()
    if isinstance(number, float) and math.isfinite(number) and number == int(number):
        return str(int(number)) if number or math.copysign(1, number) > 0 else "-0.0"
    if isinstance(number, float):
        return str(literal.array.reshape(-1)[0])
    return str(number)
