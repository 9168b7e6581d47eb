"""Both derivatives of a scan, built from its body.

Forward mode is one scan that carries values and tangents together.  Reverse mode is a scan in the
opposite direction: it reads what the forward scan stored at each step (the values of the body that
the adjoint uses and that cost more than they weigh), carries the cotangents of the carries, adds up
those of the constants, and gives those of the xs row by row.

Invariants: a derivative that is zero at every step is None, never an array; the scan that stores
runs the same body as the one that is differentiated, so that `merge_loops` makes one of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from symc.ir import term
from symc.ir.binding import binders
from symc.ir.core import Function, Node, Value, nodes_so_far, reachable, reachable_whole
from symc.ir.dims import Size
from symc.ir.ops.loop_groups import Operands, groups, make_scan
from symc.ir.ops.record import Derive, Kind, Op
from symc.ir.ops.regions import Moved, closed, fresh, present
from symc.ir.rewriter import spliced
from symc.ir.specialise import cloned
from symc.ir.types import I64, TensorType, is_float
from symc.records import dataclass

T = TypeVar("T")

# Kinds of nodes that the adjoint computes again when their operands are at hand.
_CHEAP: Final = frozenset({Kind.SOURCE, Kind.VIEW})


# Forward mode.
def push(tangents: Derive, node: Node, moved: Moved) -> Sequence[Value | None]:
    """Tangents of the results: one scan over values and tangents."""
    (region,) = node.regions
    parts = groups(node)
    moving = [tangent is not None for tangent in moved]
    while True:
        since = nodes_so_far()
        params = fresh(region)
        results = spliced(region, params)
        targets = [p for p, mark in zip(params, moving, strict=False) if mark]
        along = [Value(p.type, name="tangent") for p in targets]
        found = tangents(results, targets, along)
        gained = [i for i in range(parts.carries) if found[i] is not None]
        gained = [parts.consts + i for i in gained if not moving[parts.consts + i]]
        if not gained:
            break
        for number in gained:
            moving[number] = True
    seeds = iter(along)
    along_of = [next(seeds) if mark else None for mark in moving]
    consts, carries, xs = parts.split(params)
    moved_consts, moved_carries, moved_xs = (present(row) for row in parts.split(along_of))
    outs = [
        term.zeros(r.type).value
        if t is None and i < parts.carries and moving[parts.consts + i]
        else t
        for i, (r, t) in enumerate(zip(results, found, strict=True))
    ]
    inner = [*consts, *moved_consts, *carries, *moved_carries, *xs, *moved_xs, params[-1]]
    wanted = [
        *results[: parts.carries],
        *present(outs[: parts.carries]),
        *present(outs[parts.carries :]),
    ]
    body, captured = closed(region.name, inner, wanted, since)
    own, given = parts.split(node.operands), parts.split(list(moved))
    starts = [
        term.zeros(x.type).value if t is None else t
        for x, t, mark in zip(own[1], given[1], parts.split(moving)[1], strict=True)
        if mark
    ]
    operands = Operands(
        [*captured, *own[0], *present(given[0])],
        [*own[1], *starts],
        [*own[2], *present(given[2])],
    )
    made = make_scan(node.op, body, operands, parts.length, parts.reverse)
    rest = iter(made.results[parts.carries :])
    return [None if t is None else next(rest) for t in outs]


# Reverse mode.
@dataclass(frozen=True, slots=True)
class Adjoint:
    """One step backwards: the copy of the body, and the cotangents that it gives.

    `params` (the number of the step last) and `results` of the copy; `seeds` per result, `found`
    per param (None: zero).  Nodes of the copy lie in [since, middle), those of the adjoint behind.
    """

    params: list[Value]
    results: tuple[Value, ...]
    seeds: list[Value | None]
    found: list[Value | None]
    since: int
    middle: int


class Parts(Protocol):
    """The groups of a loop's operands."""

    @property
    def consts(self) -> int: ...
    @property
    def carries(self) -> int: ...
    def split(self, row: Sequence[T]) -> tuple[list[T], list[T], list[T]]: ...


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps to go back over: the body of the loop, its operands and how it ran.

    xs: sequences with a row per step that ran.  stored: (value of a step, its rows).
    """

    name: str
    parts: Parts
    operands: Sequence[Value]
    xs: Sequence[Value]
    length: Size
    reverse: bool


def pull(
    gradient: Derive, node: Node, cotangents: Moved, wanted: Sequence[bool]
) -> Sequence[Value | None]:
    """Cotangents of the wanted operands."""
    parts = groups(node)
    (body,) = node.regions
    step = adjoint(gradient, body, parts, cotangents, wanted)
    values = needed(parts, step)
    rows = dict(zip(step.results[parts.carries :], node.results[parts.carries :], strict=True))
    extra = [value for value in values if value not in rows]
    if extra:
        rows.update(zip(extra, _store(node, step, extra), strict=True))
    xs = parts.split(node.operands)[2]
    steps = Steps(body.name, parts, node.operands, xs, parts.length, parts.reverse)
    return backwards(node.op, steps, step, cotangents, [(value, rows[value]) for value in values])


def adjoint(
    gradient: Derive, body: Function, parts: Parts, cotangents: Moved, wanted: Sequence[bool]
) -> Adjoint:
    """The adjoint of one step; carries are reached through later steps too.

    `cotangents`: of the last carries, then of the ys.
    """
    arrives = [ct is not None for ct in cotangents]
    asked = [*wanted, False]
    for i in range(parts.carries):
        asked[parts.consts + i] = is_float(body.params[parts.consts + i].type.dtype)
    while True:
        since = nodes_so_far()
        params = fresh(body)
        results = spliced(body, params)
        params += [Value(TensorType(I64, ()))] * (len(asked) - len(params))
        middle = nodes_so_far()
        seeds = [
            Value(r.type, name="cotangent") if mark else None
            for r, mark in zip(results, arrives, strict=True)
        ]
        reached = [r for r, seed in zip(results, seeds, strict=True) if seed is not None]
        targets = [p for p, mark in zip(params, asked, strict=True) if mark]
        answers = iter(gradient(reached, present(seeds), targets))
        found = [next(answers) if mark else None for mark in asked]
        carried = found[parts.consts : parts.consts + parts.carries]
        gained = [i for i, ct in enumerate(carried) if ct is not None and not arrives[i]]
        if not gained:
            return Adjoint(params, results, seeds, found, since, middle)
        for i in gained:
            arrives[i] = True


def needed(parts: Parts, step: Adjoint) -> list[Value]:
    """Values of the step to store: the nearest to the adjoint that are neither at hand nor
    computed again."""
    return _Needed(parts, step).found()


class _Needed:
    """What the adjoint reads of the step: at hand, computed again, or stored going forward."""

    def __init__(self, parts: Parts, step: Adjoint) -> None:
        self._step = step
        _, _, xs = parts.split(step.params)
        consts = step.params[: parts.consts]
        self._at_hand = {*consts, *xs, step.params[-1]}
        self._ragged = binders(reachable(step.results, since=step.since)[0])

    def found(self) -> list[Value]:
        nodes, free = reachable_whole(present(self._step.found), since=self._step.since)
        return self._needed(nodes, free)

    def _needed(self, nodes: Sequence[Node], free: Sequence[Value]) -> list[Value]:
        """Values of the step to store: the nearest to the adjoint that are not computed again."""
        found: dict[Value, None] = {}
        mine = set(self._step.params)
        todo = [value for value in free if value in mine]
        todo += [x for n in nodes if n.serial >= self._step.middle for x in n.operands]
        todo += [value for value in present(self._step.found) if self._is_step(value)]
        seen: set[Value] = set()
        while todo:
            value = todo.pop()
            if value in seen or value in self._at_hand:
                continue
            seen.add(value)
            if value in mine:
                found[value] = None
            elif self._is_step(value):
                assert value.node is not None
                if self._again(value.node):
                    todo += value.node.operands
                else:
                    found[value] = None
        return list(found)

    def _is_step(self, value: Value) -> bool:
        node = value.node
        return node is not None and self._step.since <= node.serial < self._step.middle

    def _again(self, node: Node) -> bool:
        """Whether a value is computed again rather than stored."""
        if node.op.kind in _CHEAP:
            return True
        if self._ragged and any(
            symbol in self._ragged for result in node.results for symbol in result.type.symbols()
        ):
            return True  # its number of rows differs from step to step
        return node.op.kind is Kind.ELEMENTWISE and all(
            x in self._at_hand or (x.node is not None and x.node.op.kind is Kind.SOURCE)
            for x in node.operands
        )


def _store(node: Node, step: Adjoint, extra: Sequence[Value]) -> Sequence[Value]:
    """Rows of further values: the same scan with more ys."""
    parts = groups(node)
    wanted = [*step.results[: parts.carries], *extra]
    shared, captured = closed(node.regions[0].name, step.params, wanted, step.since)
    consts, carries, xs = parts.split(node.operands)
    operands = Operands([*captured, *consts], carries, xs)
    made = make_scan(node.op, cloned(shared), operands, parts.length, parts.reverse)
    return made.results[parts.carries :]


def backwards(
    scan: Op,
    steps: Steps,
    step: Adjoint,
    cotangents: Moved,
    stored: Sequence[tuple[Value, Value]],
) -> Sequence[Value | None]:
    """The adjoint scan; its answers for the xs are rows like those of `steps.xs`."""
    parts = steps.parts
    consts, carries, xs = parts.split(step.params)
    found = parts.split(step.found)
    own = parts.split(steps.operands)
    arriving = [i for i in range(parts.carries) if step.seeds[i] is not None]
    sums = [i for i, ct in enumerate(found[0]) if ct is not None]
    rows = [i for i, ct in enumerate(found[2]) if ct is not None]
    totals = [Value(consts[i].type, name="total") for i in sums]
    inner = [
        *consts,
        *present(step.seeds[: parts.carries]),
        *totals,
        *xs,
        *(value for value, _ in stored),
        *present(step.seeds[parts.carries :]),
        step.params[-1],
    ]
    backward = [_or_zeros(found[1][i], carries[i].type) for i in arriving]
    added = [
        (term.Term(total) + term.Term(_found(found[0][i]))).value
        for i, total in zip(sums, totals, strict=True)
    ]
    results = [*backward, *added, *(_found(found[2][i]) for i in rows)]
    instead = [value for value, _ in stored]
    body, captured = _closed_at(steps.name, inner, results, step.since, instead)
    starts = [_or_zeros(cotangents[i], carries[i].type) for i in arriving]
    starts += [term.zeros(total.type).value for total in totals]
    given = [
        *steps.xs,
        *(row for _, row in stored),
        *present(cotangents[parts.carries :]),
    ]
    operands = Operands([*captured, *own[0]], starts, given)
    made = make_scan(scan, body, operands, steps.length, not steps.reverse)
    answers: list[Value | None] = [None] * len(steps.operands)
    for place, number in enumerate(arriving):
        answers[parts.consts + number] = made.results[place]
    for place, number in enumerate(sums):
        answers[number] = made.results[len(arriving) + place]
    for place, number in enumerate(rows):
        start = len(arriving) + len(sums)
        answers[parts.consts + parts.carries + number] = made.results[start + place]
    return answers


def _found(value: Value | None) -> Value:
    assert value is not None
    return value


def _or_zeros(value: Value | None, type: TensorType) -> Value:
    return term.zeros(type).value if value is None else value


def _closed_at(
    name: str, params: Sequence[Value], results: Sequence[Value], since: int, stops: Sequence[Value]
) -> tuple[Function, list[Value]]:
    """As `closed`, where `stops` among the params are results of nodes: nothing is behind them."""
    nodes, _ = reachable(results, stop=params, since=since)
    places = {value: Value(value.type, name="stored") for value in stops if value.node is not None}
    if not places:
        return closed(name, params, results, since)
    current: dict[Value, Value] = dict(places)
    for node in nodes:
        operands = tuple(current.get(x, x) for x in node.operands)
        if operands == node.operands:
            continue
        types = tuple(result.type for result in node.results)
        copy = Node(
            node.op, operands, node.attrs, types, regions=node.regions, locations=node.locations
        )
        current.update(zip(node.results, copy.results, strict=True))
    inner = [places.get(param, param) for param in params]
    return closed(name, inner, [current.get(r, r) for r in results], since)
