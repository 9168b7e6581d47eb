"""`custom`: a function that the user gave derivatives of its own.

The region computes the function.  The attribute `rule` is the user's rule: Python code that is run
when, and each time that, a derivative is asked for, since a rule may call its own function, to any
order.  In text a rule is its name; a node read from text computes and has no derivative.

Invariants: derivatives pass the leading operands that the rule knows of; what the function captured
besides is refused by the rule.  Where a tangent or cotangent is 0 a product of the rule is 0, so
that an infinite slope of a side not selected stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from symc.ir import term
from symc.ir.build import apply
from symc.ir.core import Attrs, Function, Node, Value, nodes_so_far, reachable
from symc.ir.errors import DomainError, OpContractError, ShapeError, UnsupportedError, message
from symc.ir.ops import regions
from symc.ir.ops.arithmetic import DIV, MUL
from symc.ir.ops.logic import EQ, WHERE
from symc.ir.ops.record import BatchContext, Derive, Kind, Modes, Op, Samples
from symc.ir.ops.regions import Moved, Placed, Types
from symc.ir.rewriter import closed_over, spliced
from symc.ir.types import TensorType, is_float

if TYPE_CHECKING:
    from symc.ir.term import Term


class Rule(str):  # noqa: SLOT000  (rules carry what they close over)
    """Derivatives of one use of a function; as a string, the function's name.

    `forward`: has a tangent rule.  `reverse`: has a cotangent rule; without it the tangent rule is
    transposed.
    """

    forward = False
    reverse = False

    def tangents(
        self, operands: Sequence[Value], along: Moved, results: Types
    ) -> Sequence[Value | None]:
        """Tangents of the results, which have the given types; None in `along` does not move."""
        raise UnsupportedError(
            message(
                f"forward-mode derivative of {self}",
                got="a function with a rule for reverse mode only" if self.reverse else "no rule",
                expected="a tangent rule",
                advice="defjvp on the same function gives one",
            )
        )

    def cotangents(
        self, operands: Sequence[Value], arrived: Moved, wanted: Sequence[bool], results: Types
    ) -> Sequence[Value | None]:
        """Cotangents of the operands; None in `arrived` is zero."""
        raise UnsupportedError(
            message(f"reverse-mode derivative of {self}", got="no rule", expected="a rule")
        )


def _types(types: Types, attrs: Attrs, inner: tuple[Function, ...]) -> tuple[TensorType, ...]:
    if not isinstance(attrs.get("rule"), str):
        raise DomainError(message("attribute rule", got=attrs.get("rule"), expected="a rule"))
    return regions.region_types(types, inner[0])


def _rule(node: Node) -> Rule:
    rule = node.attrs["rule"]
    return rule if isinstance(rule, Rule) else Rule(rule)


def _result_types(node: Node) -> list[TensorType]:
    return [result.type for result in node.results]


def _push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    """The tangent rule along stand-ins, which the tangents then replace."""
    since = nodes_so_far()
    seeds = [None if t is None else Value(t.type) for t in moved]
    found = _rule(node).tangents(node.operands, seeds, _result_types(node))
    return _along(found, dict(_pairs(seeds, moved)), since)


def _pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    rule = _rule(node)
    since = nodes_so_far()
    if rule.reverse or not rule.forward:
        seeds = [None if ct is None else Value(ct.type) for ct in cotangents]
        found = rule.cotangents(node.operands, seeds, wanted, _result_types(node))
        return _along(found, dict(_pairs(seeds, cotangents)), since)
    asked = zip(node.operands, wanted, strict=True)
    along = [Value(x.type) if mark else None for x, mark in asked]
    pushed = rule.tangents(node.operands, along, _result_types(node))
    pairs = _pairs(pushed, cotangents)
    asked_for = [t for t in along if t is not None]
    results = gradient([t for t, _ in pairs], [ct for _, ct in pairs], asked_for, since)
    _check_linear(node, [r for r in results if r is not None], asked_for, since)
    found_for = dict(zip(asked_for, results, strict=True))
    return [None if t is None else found_for[t] for t in along]


def _pairs(left: Moved, right: Moved) -> list[tuple[Value, Value]]:
    """The places where both are there."""
    both = zip(left, right, strict=True)
    return [(a, b) for a, b in both if a is not None and b is not None]


def _check_linear(node: Node, found: Sequence[Value], along: Sequence[Value], since: int) -> None:
    _, free = reachable(found, since=since)
    if not set(along).isdisjoint(free):
        raise OpContractError(
            message(
                f"tangent rule of {_rule(node)}: not linear in the tangents",
                expected="sums of tangents times what does not depend on them",
                where=node.locations[0],
                advice="custom_vjp for a rule of reverse mode that is not linear",
            )
        )


def _along(found: Moved, seeds: Mapping[Value, Value], since: int) -> list[Value | None]:
    """`found` with each seed replaced; products with what comes from a seed are 0 where that is."""
    wanted = [value for value in found if value is not None]
    nodes, _ = reachable(wanted, stop=seeds, since=since)
    current = dict(seeds)
    for node in nodes:
        if current.keys().isdisjoint(node.operands):
            continue
        operands = [current.get(operand, operand) for operand in node.operands]
        moving = [operand in current for operand in node.operands]
        product = _PRODUCTS.get(node.op)
        made: Sequence[Value] | None = None
        if product is not None and is_float(node.results[0].type.dtype) and not all(moving):
            made = product(operands, moving, node)
        if made is None:
            made = apply(
                node.op, operands, node.attrs, regions=node.regions, locations=node.locations
            ).results
        current.update(zip(node.results, made, strict=True))
    return [None if value is None else current.get(value, value) for value in found]


def _scaled(operands: Sequence[Value], moving: Sequence[bool], node: Node) -> Sequence[Value]:
    """`t * a` as 0 where t is 0."""
    t, slope = operands if moving[0] else reversed(operands)
    return (term.scale(term.Term(t), term.Term(slope)).value,)


def _divided(
    operands: Sequence[Value], moving: Sequence[bool], node: Node
) -> Sequence[Value] | None:
    """`t / a` as t where t is 0."""
    if not moving[0] or term.constant_array(term.Term(operands[1])) is not None:
        return None
    t = operands[0]
    zero = term.zeros(t.type).value
    still = apply(EQ, (t, zero), locations=node.locations).results[0]
    quotient = apply(DIV, operands, locations=node.locations).results[0]
    return apply(WHERE, (still, t, quotient), locations=node.locations).results


_PRODUCTS: Final[Mapping[Op, Callable[..., Sequence[Value] | None]]] = {
    MUL: _scaled,
    DIV: _divided,
}


# --- batching ------------------------------------------------------------------------------------


class BatchedRule(Rule):
    """The rule of a function over a batch: the user's rule for one element, batched."""

    inner: Rule
    context: BatchContext
    marks: tuple[bool, ...]

    def __new__(cls, inner: Rule, context: BatchContext, marks: Sequence[bool]) -> BatchedRule:
        made = super().__new__(cls, str(inner))
        made.inner, made.context, made.marks = inner, context, tuple(marks)
        made.forward, made.reverse = inner.forward, inner.reverse
        return made

    def tangents(
        self, operands: Sequence[Value], along: Moved, results: Types
    ) -> Sequence[Value | None]:
        since = nodes_so_far()
        params = self._elements([x.type for x in operands])
        moves = [None if t is None else Value(p.type) for t, p in zip(along, params, strict=True)]
        found = self.inner.tangents(params, moves, [_element(type) for type in results])
        marks = [mark for mark, t in zip(self.marks, along, strict=True) if t is not None]
        every = [True] * len(results)
        given = (params, [t for t in moves if t is not None])
        actual = (*operands, *(t for t in along if t is not None))
        return [x for x, _ in self._over_batch(given, marks, found, every, actual, since)]

    def cotangents(
        self, operands: Sequence[Value], arrived: Moved, wanted: Sequence[bool], results: Types
    ) -> Sequence[Value | None]:
        since = nodes_so_far()
        params = self._elements([x.type for x in operands])
        seeds = [None if ct is None else Value(_element(ct.type)) for ct in arrived]
        elements = [_element(type) for type in results]
        found = self.inner.cotangents(params, seeds, wanted, elements)
        given = (params, [ct for ct in seeds if ct is not None])
        actual = (*operands, *(ct for ct in arrived if ct is not None))
        marks = [True] * len(given[1])
        made = self._over_batch(given, marks, found, self.marks, actual, since)
        return [
            term.Term(x).sum([0]).value if x is not None and has_axis and not mark else x
            for (x, has_axis), mark in zip(made, self.marks, strict=True)
        ]

    def _elements(self, types: Types) -> list[Value]:
        return [
            Value(_element(type) if mark else type)
            for type, mark in zip(types, self.marks, strict=True)
        ]

    def _over_batch(
        self,
        given: tuple[Sequence[Value], Sequence[Value]],
        marks: Sequence[bool],
        found: Moved,
        forced: Sequence[bool],
        actual: Sequence[Value],
        since: int,
    ) -> list[tuple[Value | None, bool]]:
        """What the rule made of stand-ins for one element, made of the batch instead."""
        wanted = [value for value in found if value is not None]
        asked = [mark for mark, value in zip(forced, found, strict=True) if value is not None]
        one, captured = closed_over(str(self), (*given[0], *given[1]), wanted, since)
        in_batched = [*self.marks, *marks, *(False for _ in captured)]
        whole, has_axis = self.context.function(one, in_batched, asked)
        made = iter(zip(spliced(whole, [*actual, *captured]), has_axis, strict=True))
        return [(None, False) if value is None else next(made) for value in found]


def _element(type: TensorType) -> TensorType:
    return type.with_shape(type.shape[1:])


def _batch(
    context: BatchContext, node: Node, operands: Sequence[Term], axes: Sequence[int | None]
) -> Placed:
    rule = BatchedRule(_rule(node), context, [axis is not None for axis in axes])
    return regions.batched(context, node, operands, axes, {"rule": rule}, every=True)


CUSTOM: Final = Op(
    "custom",
    Kind.CONTROL,
    None,
    lambda types, attrs: regions.no_region("custom", 1),
    regions.evaluated,
    Samples((), errors=(((), {"rule": "f"}, ShapeError),)),
    derivative=Modes(_push, _pull),
    regions=1,
    runs_region=True,
    infer_regions=_types,
    batch=None,
    batch_regions=_batch,
)
