"""Linear maps that outlive the computation they belong to: the pushes and pulls of derivatives.

before: a function at symbolic primals, split into what it returns and a linear map around there
(`Split`).  after, on concrete primals: its results, computed once together with whatever the map
reads of them (residuals), and the map as a program of its own that reads residuals and arguments.

Invariant: nothing of the function is computed again by a call of the map, save views and constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symc.frontend import backend, constraints, trees
from symc.frontend.convert import argument
from symc.frontend.eager import Content, traced_content
from symc.frontend.entering import as_expressions, matching, require_structures, runs_symbolic
from symc.frontend.expr import Expr
from symc.frontend.graft import graft
from symc.frontend.operand import CapturedValue, Operand, literal
from symc.frontend.trace import build
from symc.frontend.tracing import Trace
from symc.frontend.trees import Structure
from symc.ir.core import Node, Value, reachable
from symc.ir.dims import Size, prove_le, substitute
from symc.ir.entry import InputInfo
from symc.ir.errors import DomainError, ShapeError, message
from symc.ir.locations import here
from symc.ir.ops.record import Kind
from symc.ir.types import TensorType
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.compile import Compiled


@dataclass(frozen=True, slots=True)
class Split:
    """What a function returned at its primals, and a linear map in the same graph.

    `inputs`: values that stand for the leaves of the map's arguments, whose trees are
    `structures`; `outputs`: its results; `laid_out`: what the user gets of those.
    """

    result: Any
    inputs: list[Value]
    structures: list[Structure]
    outputs: list[Value]
    laid_out: Callable[[Sequence[Any]], Any]
    subject: str

    def applied(self, instead: Mapping[Value, Value], sizes: Mapping[str, Size]) -> Any:
        """What the user gets with other values in place of inputs and residuals."""
        made = graft(self.outputs, instead, sizes)
        made = constraints.handed_on(instead.values(), made)
        return self.laid_out(as_expressions(made))

    def called(self, arguments: Sequence[Any]) -> Any:
        """The map of arguments that belong to the same trace."""
        values = matching(arguments, self.structures, self.inputs, self.subject)
        return self.applied(dict(zip(self.inputs, values, strict=True)), {})

    def residuals(self) -> list[Value]:
        """What the map reads besides its inputs, behind views that only repeat elements."""
        nodes, _ = reachable(self.outputs, stop=self.inputs)
        moving = set(self.inputs)
        read: dict[Value, None] = {}
        for node in nodes:
            if moving.isdisjoint(node.operands):
                continue
            moving.update(node.results)
            read.update(dict.fromkeys(x for x in node.operands if x not in moving))
        read.update(dict.fromkeys(x for x in self.outputs if x not in moving))
        known = _computable_from_nothing(nodes)
        kept = dict.fromkeys(_behind_views(value, known) for value in read)
        return [x for x in kept if x not in known and not isinstance(x, CapturedValue)]


def _computable_from_nothing(nodes: Sequence[Node]) -> set[Value]:
    found: set[Value] = set()
    for node in nodes:
        if all(operand in found for operand in node.operands):
            found.update(node.results)
    return found


def _behind_views(value: Value, known: set[Value]) -> Value:
    """The value that `value` repeats or rearranges without losing elements."""
    while (node := value.node) is not None and value not in known:
        operand = node.operands[0] if node.op.kind is Kind.VIEW else None
        if operand is None or not prove_le(operand.type.elements, value.type.elements):
            break
        value = operand
    return value


def on_arrays(
    split_at: Callable[..., Split], primals: tuple[Any, ...]
) -> tuple[Any, Callable[..., Any]]:
    """The function's results at concrete primals, and the map there."""
    splits: list[tuple[Split, list[Value]]] = []

    def computed(*primals: Any) -> Any:
        split = split_at(*primals)
        residuals = split.residuals()
        splits.append((split, residuals))
        return split.result, [Expr(Operand(value)) for value in residuals]

    content, arrays = traced_content(computed, primals, {})
    result, kept = content.run(arrays)
    split, residuals = splits[-1]  # tracing may have been tried before with symbolic sizes
    params = content.trace.traced.entry.function.params
    sized = {
        param: array
        for param, array in zip(params, arrays, strict=False)
        if param.type.symbols() and param not in residuals
    }
    sizes = backend.bound_sizes(content.trace.traced.entry, arrays)
    made = KeptMap(split, {**dict(zip(residuals, kept, strict=True)), **sized}, sizes)
    return result, made


class KeptMap:
    """A linear map that reads arrays computed before.  Call it with trees of arrays."""

    def __init__(
        self, split: Split, read: dict[Value, np.ndarray], sizes: Mapping[str, Size]
    ) -> None:
        self._split = split
        self._read = read
        self._sizes = sizes
        self._content: Content | None = None

    def __call__(self, *arguments: Any) -> Any:
        split = self._split
        if runs_symbolic(arguments):
            return self._grafted(arguments)
        leaves = require_structures(arguments, split.structures, split.subject)
        arrays = [
            _exactly(leaf, self._sized(value.type), split.subject)
            for leaf, value in zip(leaves, split.inputs, strict=True)
        ]
        if self._content is None:
            self._content = self._compiled()
        return self._content.run([*arrays, *self._read.values()])

    @property
    def compiled(self) -> Compiled:
        """The program of the map; DomainError before the first call."""
        if self._content is None:
            raise DomainError(message(f"{self._split.subject}: not called yet", where=here()))
        return self._content.compiled

    def _sized(self, type: TensorType) -> TensorType:
        return type.with_shape(tuple(substitute(size, self._sizes) for size in type.shape))

    def _grafted(self, arguments: Sequence[Any]) -> Any:
        """As part of a trace, where what was computed before are captured arrays."""
        split = self._split
        stand_ins = [Value(self._sized(value.type)) for value in split.inputs]
        values = matching(arguments, split.structures, stand_ins, split.subject)
        instead = dict(zip(split.inputs, values, strict=True))
        for value, array in self._read.items():
            instead[value] = literal(array, split.subject)
        return split.applied(instead, self._sizes)

    def _compiled(self) -> Content:
        split = self._split
        params = [Value(value.type) for value in (*split.inputs, *self._read)]
        instead = dict(zip((*split.inputs, *self._read), params, strict=True))
        outputs = graft(split.outputs, instead, {})
        infos = [InputInfo(f"argument {i}") for i in range(len(params))]
        traced = build(split.subject, params, infos, outputs, lift=True)
        _, tree = trees.flatten(split.laid_out(range(len(outputs))))
        content = Content(Trace(traced, tree))
        content.compile()
        return content


def _exactly(leaf: Any, type: TensorType, subject: str) -> np.ndarray:
    """An argument's leaf as an array of exactly `type`."""
    array = argument(leaf, type, subject)
    if array.shape != type.shape:
        raise ShapeError(
            message(f"{subject}: wrong shape", got=array.shape, expected=type, where=here())
        )
    return array
