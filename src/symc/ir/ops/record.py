"""The op record: all that any part of symc knows about an operation.

Printer, parser, verifier, oracle, passes, both differentiation modes, batching, code generation and
the property tests read these fields; none of them lists op names.

A new elementwise op is one call of `unary` / `binary` in a file of this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from symc.ir.affine import IndexMap
from symc.ir.binding import only_symbol
from symc.ir.core import Attrs, Function, Node, Value
from symc.ir.dims import Dim, Size, Symbol, substitute
from symc.ir.errors import DomainError, OpContractError, message
from symc.ir.types import TensorType
from symc.records import dataclass

if TYPE_CHECKING:
    from symc.ir.term import Term

Arrays = tuple[np.ndarray, ...]
Infer = Callable[[Sequence[TensorType], Attrs], tuple[TensorType, ...]]
InferRegions = Callable[[Sequence[TensorType], Attrs, tuple[Function, ...]], tuple[TensorType, ...]]
Evaluate = Callable[["EvaluateContext", Sequence[np.ndarray], Node], Arrays]

# One tangent contribution: tangent of an operand, the results, the operands, attrs -> the
# contribution to the tangent of the (single) result.  Must be linear in the first argument and
# built from linear ops, `scale` and `where`.
Tangent = Callable[["Term", "Term", Sequence["Term"], Attrs], "Term"]
# Cotangent of the result, the node's operands (the linear one may only be asked for its type),
# attrs, the operand's number -> cotangent of that operand.
Transpose = Callable[["Term", Sequence["Term"], Attrs, int], "Term"]
# Operands with an optional batch axis each (at least one has it), attrs -> result, its batch axis.
Batch = Callable[[Sequence["Term"], Sequence[int | None], Attrs], tuple["Term", int]]
# The same for an op with regions: each result of the node, and its batch axis if it has one.
BatchRegions = Callable[
    ["BatchContext", Node, Sequence["Term"], Sequence[int | None]],
    Sequence[tuple["Term", int | None]],
]


@dataclass(frozen=True, slots=True)
class Tangents:
    """A rule per operand; None for an operand through which no derivative passes.

    A variadic op has one rule for all operands.
    """

    rules: tuple[Tangent | None, ...]


@dataclass(frozen=True, slots=True)
class Linear:
    """The op is linear in `operands` taken together: the tangent is the op applied to tangents.

    `multilinear`: linear in each of them separately (products).  A variadic op lists operand 0.
    """

    operands: tuple[int, ...]
    transpose: Transpose
    multilinear: bool = False


@dataclass(frozen=True, slots=True)
class NoDerivative:
    """No derivative passes the op, and why: it is zero wherever it exists, or has no meaning."""

    reason: str


class Derive(Protocol):
    """How a rule below differentiates a graph: `(results, wrt, along)` gives tangents,
    `(results, cotangents, wrt)` gives cotangents; None where nothing moves or arrives.

    Nodes older than number `since` are known not to depend on `wrt`.
    """

    def __call__(
        self,
        results: Sequence[Value],
        second: Sequence[Value],
        third: Sequence[Value],
        since: int | None = None,
        /,
    ) -> list[Value | None]: ...


Push = Callable[[Derive, Node, Sequence[Value | None]], Sequence[Value | None]]
Pull = Callable[[Derive, Node, Sequence[Value | None], Sequence[bool]], Sequence[Value | None]]


@dataclass(frozen=True, slots=True)
class Modes:
    """Both modes by hand, for ops with regions or several results.

    `push(tangents, node, moved)`: the tangent of each result from those of the operands.
    `pull(gradient, node, cotangents, wanted)`: the cotangent of each wanted operand from those of
    the results.  None is a derivative that is zero because nothing moves or arrives.
    """

    push: Push
    pull: Pull


Derivative = Tangents | Linear | NoDerivative | Modes


class Kind(Enum):
    """How an op is lowered."""

    ELEMENTWISE = "elementwise"  # `scalar` per element; operands and result share one shape
    SOURCE = "source"  # no tensor operands: constant, iota, size
    VIEW = "view"  # `index_map`: each result element is one operand element
    ASSEMBLE = "assemble"  # several operands placed side by side: concat, set_slice
    REDUCE = "reduce"  # `reducer` over attrs["axes"]
    CONTRACT = "contract"  # products summed over an index
    GATHER = "gather"  # reads at integer-array positions
    SCATTER = "scatter"  # writes or accumulates at integer-array positions
    CONTROL = "control"  # regions: call, custom, checkpoint, and later scan, while, cond


@dataclass(frozen=True, slots=True)
class Reducer:
    """How a reduction combines: a monoid over one or more lanes.

    `identity(dtype)` per carried lane; `combine(b, left, right)` on tuples of lanes, where `left`
    is earlier in row-major order; `start(b, x, index)` turns an element (and its i64 row-major
    index along the reduced axes) into carried lanes; `finish(b, carried)` gives the result lane.
    `exact`: the order of combination cannot change bits (max, min, any, integer sums).
    """

    name: str
    identity: Callable[[np.dtype], tuple[float | int | bool, ...]]
    combine: Callable[[Any, tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]
    start: Callable[[Any, Any, Any], tuple[Any, ...]]
    finish: Callable[[Any, tuple[Any, ...]], Any]
    carried: Callable[[np.dtype], tuple[np.dtype, ...]]
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Samples:
    """What the property tests draw for an op.

    `dtypes`: accepted dtype names of the leading operand.  `domain`: open interval of ordinary
    float inputs.  `edges`: inputs at kinks, poles and domain ends.  `errors`: (operand types,
    attrs, error class) that `infer` must refuse.  `cases`: (operand types, attrs) that it accepts;
    empty means one shape for all operands and no attributes.
    """

    dtypes: tuple[str, ...]
    domain: tuple[float, float] = (-3.0, 3.0)
    edges: tuple[float, ...] = ()
    errors: tuple[tuple[tuple[TensorType, ...], Attrs, type[Exception]], ...] = ()
    cases: tuple[tuple[tuple[TensorType, ...], Attrs], ...] = ()


class EvaluateContext:
    """What the oracle hands to `evaluate`: the values of dims, and how to run a region."""

    __slots__ = ("dims", "most_steps", "order", "run")

    def __init__(
        self,
        dims: dict[str, int],
        order: str,
        run: Callable[..., Arrays],
        most_steps: int | None = None,
    ) -> None:
        self.dims = dims
        self.most_steps = most_steps  # of a loop that nobody knows to end
        self.order = order  # "any" | "chain": how contractions are summed
        self.run = run  # run(function, arrays) -> arrays

    def bind(self, dim: Dim, value: int) -> None:
        """Note the value of a computed dim; OpContractError when it had another."""
        name = only_symbol(dim).name
        if self.dims.setdefault(name, value) != value:
            raise OpContractError(
                message(f"size {dim} is bound twice", got=value, expected=self.dims[name])
            )

    def shape(self, type: TensorType) -> tuple[int, ...]:
        """The concrete shape of a type."""
        return self.sizes(type.shape)

    def sizes(self, sizes: Sequence[Size]) -> tuple[int, ...]:
        """The values of sizes; DomainError when a dim has none."""
        found = []
        for size in sizes:
            value = substitute(size, self.dims)
            if not isinstance(value, int):
                raise DomainError(message(f"size {size}", got=f"values for {sorted(self.dims)}"))
            found.append(value)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What batching hands to the rule of an op with regions.

    `size`: of the batch.  `function(region, in_batched, out_batched)`: the region over params of
    which the marked ones have a batch axis at 0, and which results have one then; those marked in
    `out_batched` (None marks none) get one in any case.  `live`: for each computed dim that differs
    between the lanes, who is there: bools over (the dim of the longest lane, the batch).
    """

    size: Size
    function: Callable[
        [Function, Sequence[bool], Sequence[bool] | None], tuple[Function, tuple[bool, ...]]
    ]
    live: dict[Symbol, Term]

    def finish_apart(self, dim: Dim, live: Term) -> None:
        """Note that the lanes of a loop that binds `dim` finish at different steps."""
        self.live[only_symbol(dim)] = live


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One operation.

    name: unique, also in the text form.  arity: operands, or None when variadic.  infer: result
    types, raising ShapeError / DTypeError.  evaluate: the NumPy oracle.  samples: required.
    scalar(builder, operand lanes..., attrs) for ELEMENTWISE.  index_map(operand types, result type,
    attrs) for VIEW; None when there is no affine map.

    derivative: required: tangent rules, linearity with a transpose, both modes by hand, or the
    documented reason why there is none.  `tangents`, `linear`, `multilinear`, `transpose`, `modes`
    and `no_derivative` read it.

    batch: required; None for a source, which has no operand to carry a batch axis, and for an op
    with regions, which has `batch_regions` instead.
    """

    name: str
    kind: Kind
    arity: int | None
    infer: Infer
    evaluate: Evaluate
    samples: Samples
    derivative: Derivative = field(kw_only=True)
    batch: Batch | None = field(kw_only=True)
    scalar: Callable[..., Any] | None = None
    reducer: Callable[[Attrs], Reducer] | None = None
    index_map: Callable[[Sequence[TensorType], TensorType, Attrs], IndexMap | None] | None = None
    batch_regions: BatchRegions | None = None
    effects: frozenset[str] = field(default_factory=frozenset)
    commutative: bool = False
    regions: int = 0
    runs_region: bool = False  # means "region 0 on the operands" when nothing is to be derived
    infer_regions: InferRegions | None = None  # result types when there are regions
    # What `inline` puts in place when nothing is to be derived any more: a function of the
    # operands, given which values are read; results that are not need not be right.
    expand: Callable[[Node, Collection[Value]], Function] | None = None
    # What `derivative` says, field by field.
    tangents: tuple[Tangent | None, ...] = field(init=False)
    linear: tuple[int, ...] = field(init=False)
    multilinear: bool = field(init=False)
    transpose: Transpose | None = field(init=False)
    modes: Modes | None = field(init=False)
    no_derivative: str | None = field(init=False)

    def __post_init__(self) -> None:
        for part, value in _parts(self.name, self.arity, self.derivative).items():
            object.__setattr__(self, part, value)
        rules = (self.batch is not None) + (self.batch_regions is not None)
        if rules != (self.kind is not Kind.SOURCE):
            raise OpContractError(
                message(
                    f"op {self.name}: batching",
                    got=f"{rules} rules",
                    expected="none of a source, one of any other op",
                )
            )

    def __repr__(self) -> str:
        return f"<Op {self.name}>"


def _parts(name: str, arity: int | None, derivative: object) -> dict[str, Any]:
    """What a derivative says, field by field; OpContractError when it does not fit the operands."""
    count = 1 if arity is None else arity
    parts: dict[str, Any] = dict.fromkeys(("transpose", "modes", "no_derivative"))
    parts |= {"tangents": (), "linear": (), "multilinear": False}
    match derivative:
        case Tangents(rules):
            fits = len(rules) == count and any(rule is not None for rule in rules)
            expected = f"{count} rules, one of them not None"
            parts["tangents"] = rules
        case Linear(operands, transpose, multilinear):
            fits = bool(operands) and all(0 <= operand < count for operand in operands)
            expected = f"operands of {count} in which it is linear"
            parts |= {"linear": operands, "transpose": transpose, "multilinear": multilinear}
        case Modes():
            fits, expected = True, "both modes"
            parts["modes"] = derivative
        case NoDerivative(reason):
            fits, expected = bool(reason.strip()), "the reason"
            parts["no_derivative"] = reason
        case _:
            fits, expected = False, "Tangents, Linear, Modes or NoDerivative"
    if not fits:
        raise OpContractError(
            message(f"op {name}: derivative", got=repr(derivative), expected=expected)
        )
    return parts
