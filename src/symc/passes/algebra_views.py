"""Rows on views: what selects, repeats or reorders elements moves to where the elements come from.

All keep every bit.  Slices of slices, permutations of permutations and the like are rows of
`algebra.py`; slices of concatenations and of writes are in `forward.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symc.ir import ops, term
from symc.ir.core import Node, Value
from symc.ir.dims import Size, prove_le
from symc.ir.ops.attributes import integer, integers, sizes
from symc.ir.term import Term
from symc.ir.types import I64, Literal
from symc.passes.draw import Draw
from symc.passes.guards import beneath
from symc.passes.pattern import Apply, Hole, Match, Rule, RuleSet, Sample

X, Y, Z, INDEX = (Hole(name) for name in "xyzi")


def _wide(shape: Sequence[Size]) -> list[int]:
    """The axes that are not of size 1."""
    return [axis for axis, size in enumerate(shape) if size != 1]


def same_but_for_units(left: Sequence[Size], right: Sequence[Size]) -> bool:
    """Whether two shapes differ in axes of size 1 alone."""
    return [s for s in left if s != 1] == [s for s in right if s != 1]


# Slices.


def _of_broadcast(m: Match) -> Term:
    """The broadcast of a slice: along repeated axes only the size changes."""
    shape = beneath(m).results[0].type.shape
    axes = integers(beneath(m).attrs, "axes")
    starts, steps = sizes(m.node.attrs, "starts"), integers(m.node.attrs, "steps")
    taken = m.root.type.shape
    same = [size == shape[axis] != 1 for size, axis in zip(m["x"].shape, axes, strict=True)]
    cut = m.make(
        ops.SLICE,
        m["x"],
        starts=tuple(starts[a] if s else 0 for a, s in zip(axes, same, strict=True)),
        sizes=tuple(taken[a] if s else 1 for a, s in zip(axes, same, strict=True)),
        steps=tuple(steps[a] if s else 1 for a, s in zip(axes, same, strict=True)),
    )
    return m.make(ops.BROADCAST, cut, shape=taken, axes=axes)


def _of_permutation(m: Match) -> Term:
    order = integers(beneath(m).attrs, "axes")
    place = [order.index(axis) for axis in range(len(order))]
    starts, steps = sizes(m.node.attrs, "starts"), integers(m.node.attrs, "steps")
    cut = m.make(
        ops.SLICE,
        m["x"],
        starts=tuple(starts[i] for i in place),
        sizes=tuple(m.root.type.shape[i] for i in place),
        steps=tuple(steps[i] for i in place),
    )
    return m.make(ops.PERMUTE, cut, axes=order)


def _keeps_units(m: Match) -> bool:
    """Whether a slice is of a reshape that adds or removes units alone, and keeps those."""
    shape = beneath(m).results[0].type.shape
    units = [i for i, size in enumerate(shape) if size == 1]
    kept = all(m.root.type.shape[i] == 1 for i in units)
    return kept and same_but_for_units(shape, m["x"].shape)


def _of_units(m: Match) -> Term:
    source, shape = m["x"].shape, beneath(m).results[0].type.shape
    from_wide = dict(zip(_wide(source), _wide(shape), strict=True))
    starts, steps = sizes(m.node.attrs, "starts"), integers(m.node.attrs, "steps")
    taken = m.root.type.shape
    whole = range(len(source))
    cut = m.make(
        ops.SLICE,
        m["x"],
        starts=tuple(starts[from_wide[i]] if i in from_wide else 0 for i in whole),
        sizes=tuple(taken[from_wide[i]] if i in from_wide else 1 for i in whole),
        steps=tuple(steps[from_wide[i]] if i in from_wide else 1 for i in whole),
    )
    return m.make(ops.RESHAPE, cut, shape=taken)


# Units.


def _moves_units(m: Match) -> bool:
    """Whether a permutation moves axes of size 1 at most."""
    order = integers(m.node.attrs, "axes")
    wide = [axis for axis in order if m["x"].shape[axis] != 1]
    return wide == sorted(wide)


def _adds_units(m: Match) -> bool:
    """Whether a broadcast adds axes of size 1 at most."""
    return same_but_for_units(m.root.type.shape, m["x"].shape)


def _reshaped(m: Match) -> Term:
    return m.make(ops.RESHAPE, m["x"], shape=m.root.type.shape)


def _under_units(m: Match) -> bool:
    """Whether a broadcast is of a reshape that only adds axes of size 1."""
    return 1 not in m["x"].shape and same_but_for_units(
        beneath(m).results[0].type.shape, m["x"].shape
    )


def _without_units(m: Match) -> Term:
    axes = integers(m.node.attrs, "axes")
    kept = tuple(axes[i] for i in _wide(beneath(m).results[0].type.shape))
    return m.make(ops.BROADCAST, m["x"], shape=m.root.type.shape, axes=kept)


# Writes.


def _where(node: Node) -> tuple[object, ...]:
    return sizes(node.attrs, "starts"), integers(node.attrs, "steps")


def _same_region(m: Match) -> bool:
    first, second = m.holes["y"].type, m.holes["z"].type
    return first == second and _where(beneath(m)) == _where(m.node)


def _writes_all(m: Match) -> bool:
    """From 0, as many as there are: by steps of 1, then, since no write leaves its operand."""
    starts = sizes(m.node.attrs, "starts")
    return m["y"].type == m.root.type and all(start == 0 for start in starts)


def _writes_what_was_there(m: Match) -> bool:
    node = m.node.operands[1].node
    assert node is not None
    return _where(node) == _where(m.node)


# Gathers at known places.


def _progression(m: Match) -> tuple[Size, int, int | Size] | None:
    """First place, step and count of a gather's places; None when unknown or out of range."""
    axis, mode = integer(m.node.attrs, "axis"), m.node.attrs["mode"]
    size, index = m["x"].shape[axis], m.holes["i"]
    if index.type.rank > 1 or index.node is None:
        return None
    if index.node.op is ops.IOTA:
        count = index.type.shape[0]
        return (0, 1, count) if prove_le(count, size) and prove_le(1, size) else None
    places = _places(index)
    if places is None:
        return None
    first, step, count = places
    if first < 0 and mode not in {"raise", "wrap"}:
        return None
    start: Size = first if first >= 0 else size + first
    low, high = (start, start + (count - 1) * step)[:: 1 if step > 0 else -1]
    return (start, step, count) if prove_le(0, low) and prove_le(high + 1, size) else None


def _places(index: Value) -> tuple[int, int, int] | None:
    """A constant index as an arithmetic progression: first, step, count."""
    assert index.node is not None
    literal = index.node.attrs.get("value")
    if index.node.op is not ops.CONSTANT or not isinstance(literal, Literal):
        return None
    array = literal.array.reshape(-1).astype(np.int64)
    if array.size == 0:
        return None
    steps = np.diff(array)
    if array.size > 1 and (steps[0] == 0 or np.any(steps != steps[0])):
        return None
    return int(array[0]), int(steps[0]) if array.size > 1 else 1, array.size


def _at_known_places(m: Match) -> bool:
    return _progression(m) is not None


def _taken(m: Match) -> Term:
    found = _progression(m)
    assert found is not None
    start, step, count = found
    axis, x = integer(m.node.attrs, "axis"), m["x"]
    cut = m.make(
        ops.SLICE,
        x,
        starts=tuple(start if i == axis else 0 for i in range(x.rank)),
        sizes=tuple(count if i == axis else size for i, size in enumerate(x.shape)),
        steps=tuple(step if i == axis else 1 for i in range(x.rank)),
    )
    return m.make(ops.RESHAPE, cut, shape=m.root.type.shape)


# Instances.


def _cut(d: Draw, x: Term) -> Term:
    """A slice of every axis, backwards where the size is known."""
    starts: list[Size] = []
    taken: list[Size] = []
    steps: list[int] = []
    for size in x.shape:
        back = isinstance(size, int) and size > 1 and d.flip()
        starts.append(size - 1 if back else 0)
        taken.append(d.integer(1, size) if isinstance(size, int) else size)
        steps.append(-1 if back else 1)
    return x.slice(starts, taken, steps)


def _slice_of_broadcast(d: Draw) -> Term:
    m, k, n = d.size(), d.size(), d.size()
    x = d.input((m, 1, k) if d.flip() else (m, k))
    axes = (0, 1, 3) if x.rank == 3 else (0, 3)
    return _cut(d, x.broadcast((m, n, 2, k), axes))


def _slice_of_permutation(d: Draw) -> Term:
    return _cut(d, term.make(ops.PERMUTE, d.input(d.shape(3)), axes=d.permutation(3)))


def _slice_of_units(d: Draw) -> Term:
    m, k = d.size(), d.size()
    x = d.input((m, k) if d.flip() else (1, m, k))
    return _cut(d, x.reshape((m, 1, k)))


def _slice_of_merge(d: Draw) -> Term:
    return d.input((3, 4)).reshape((12,)).slice((1,), (2,))


def _permuted_units(d: Draw) -> Term:
    m, k = d.size(), d.size()
    return term.make(ops.PERMUTE, d.input((m, 1, k)), axes=(1, 0, 2))


def _permuted(d: Draw) -> Term:
    return term.make(ops.PERMUTE, d.input((3, 1, 2)), axes=(2, 1, 0))


def _expanded(d: Draw) -> Term:
    m, k = d.size(), d.size()
    return d.input((m, k)).broadcast((m, 1, k, 1), (0, 2))


def _spread(d: Draw) -> Term:
    m, k = d.size(), d.size()
    return d.input((m, k)).broadcast((m, 2, k, 1), (0, 2))


def _spread_units(d: Draw) -> Term:
    m, k, n = d.size(), d.size(), d.size()
    return d.input((m, k)).reshape((m, 1, k)).broadcast((m, n, k), (0, 1, 2))


def _spread_unit_input(d: Draw) -> Term:
    return d.input((3, 1)).reshape((3, 1, 1)).broadcast((3, 2, 1), (0, 1, 2))


def _spread_merge(d: Draw) -> Term:
    return d.input((3, 4)).reshape((12,)).broadcast((2, 12), (1,))


def _written(d: Draw, *, again: bool = True) -> Term:
    x = d.input((6, 4))
    y, z = d.input((2, 4)), d.input((2, 4))
    return x.set_slice(y, (3, 0), (2, 1)).set_slice(z, (3 if again else 2, 0), (2, 1))


def _written_whole(d: Draw) -> Term:
    shape = d.shape()
    zero, one = (0,) * len(shape), (1,) * len(shape)
    return d.input(shape).set_slice(d.input(shape), zero, one)


def _written_backwards(d: Draw) -> Term:
    return d.input((4,)).set_slice(d.input((4,)), (3,), (-1,))


def _written_back(d: Draw, *, same: bool = True) -> Term:
    x = d.input((6, 4))
    return x.set_slice(x.slice((1, 0), (2, 4), (2, 1)), (1 if same else 2, 0), (2, 1))


def _gather(places: object, mode: str, size: Size = 5) -> Sample:
    def sample(d: Draw) -> Term:
        index = term.constant(np.array(places, np.int64))
        return term.take(d.input((2, size, 3)), index, 1, mode)

    return sample


def _gather_ramp(d: Draw) -> Term:
    n = d.size()
    return term.take(d.input((n, 3)), term.iota((n,), 0, I64), 0, "clip")


RULES = RuleSet(
    (
        Rule(
            "slice_broadcast",
            Apply(ops.SLICE, (Apply(ops.BROADCAST, (X,)),)),
            _of_broadcast,
            examples=(_slice_of_broadcast,),
        ),
        Rule(
            "slice_permute",
            Apply(ops.SLICE, (Apply(ops.PERMUTE, (X,)),)),
            _of_permutation,
            examples=(_slice_of_permutation,),
        ),
        Rule(
            "slice_units",
            Apply(ops.SLICE, (Apply(ops.RESHAPE, (X,)),)),
            _of_units,
            guard=_keeps_units,
            examples=(_slice_of_units,),
            near=(_slice_of_merge,),
        ),
        Rule(
            "permute_units",
            Apply(ops.PERMUTE, (X,)),
            _reshaped,
            guard=_moves_units,
            examples=(_permuted_units,),
            near=(_permuted,),
        ),
        Rule(
            "broadcast_units",
            Apply(ops.BROADCAST, (X,)),
            _reshaped,
            guard=_adds_units,
            examples=(_expanded,),
            near=(_spread,),
        ),
        Rule(
            "broadcast_reshape",
            Apply(ops.BROADCAST, (Apply(ops.RESHAPE, (X,)),)),
            _without_units,
            guard=_under_units,
            examples=(_spread_units,),
            near=(_spread_merge, _spread_unit_input),
        ),
        Rule(
            "set_slice_again",
            Apply(ops.SET_SLICE, (Apply(ops.SET_SLICE, (X, Y)), Z)),
            lambda m: m.make(ops.SET_SLICE, m["x"], m["z"], **m.node.attrs),
            guard=_same_region,
            examples=(_written,),
            near=(lambda d: _written(d, again=False),),
        ),
        Rule(
            "set_slice_whole",
            Apply(ops.SET_SLICE, (X, Y)),
            lambda m: m["y"],
            guard=_writes_all,
            examples=(_written_whole,),
            near=(_written_backwards,),
        ),
        Rule(
            "set_slice_back",
            Apply(ops.SET_SLICE, (X, Apply(ops.SLICE, (X,)))),
            lambda m: m["x"],
            guard=_writes_what_was_there,
            examples=(_written_back,),
            near=(lambda d: _written_back(d, same=False),),
        ),
        Rule(
            "take_known",
            Apply(ops.TAKE, (X, INDEX)),
            _taken,
            guard=_at_known_places,
            examples=(
                _gather(3, "raise"),
                _gather(-2, "wrap"),
                _gather([4, 2, 0], "fill"),
                _gather([-4, -3], "raise"),
                _gather_ramp,
            ),
            near=(
                _gather([0, 1, 3], "raise"),
                _gather([1, 1], "raise"),
                _gather([-1, 0, 1], "raise"),
                _gather(-1, "clip"),
                _gather([3, 5], "clip"),
                _gather([3], "wrap", 3),
            ),
        ),
    )
)
