"""Indexing: reading `x[key]` and making the value that `x[key] = v` leaves.

before: an operand and a key as NumPy takes it.  after: views (slice, reshape) for the basic part,
then one gather or scatter for integer arrays; several arrays become one over the merged axes, with
every position checked on its own axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symc.frontend import constraints, emit
from symc.frontend.convert import is_scalar
from symc.frontend.emit import shape_text
from symc.frontend.keys import At, Key, New, Picked, Span, parse
from symc.frontend.operand import Operand, is_symbolic, operand, read
from symc.frontend.spec import short_name
from symc.ir import ops, term
from symc.ir.core import Attrs, Value
from symc.ir.dims import Size, size_product
from symc.ir.errors import DTypeError, ShapeError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL, I64
from symc.records import dataclass

COMBINE: dict[str, Op | None] = {
    "set": None,
    "add": ops.ADD,
    "mul": ops.MUL,
    "min": ops.MINIMUM,
    "max": ops.MAXIMUM,
}


def index(x: Operand, key: Any) -> Operand:
    """`x[key]`, a new value."""
    parsed = parse(key, x.type.shape, "index")
    taken = _read(Term(x.value), parsed)
    if parsed.needed:
        if taken.value is x.value:
            taken = term.make(ops.RESHAPE, taken, shape=taken.shape)
        constraints.attach(taken.value, parsed.needed)
    return Operand(taken.value, x.weak)


def updated(x: Operand, key: Any, value: Any, combine: str) -> Operand:
    """The value of `x` after `x[key] = value`, or the same with `add`, `mul`, `min`, `max`."""
    mask = _symbolic_mask(key)
    if mask is not None:
        return _masked(x, mask, value, combine)
    parsed = parse(key, x.type.shape, "index update")
    new = assignable(value, x, "index update")
    target = Term(x.value)
    if parsed.advanced:
        result = _write_picked(target, parsed, new, combine)
    else:
        result = _write_basic(target, parsed, new, combine)
    return Operand(constraints.attach(result.value, parsed.needed))


def assignable(value: Any, x: Operand, subject: str) -> Value:
    """A value in the dtype of `x`; casts of another kind are refused, NumPy would truncate."""
    found = read(value, subject)
    kind = emit.result_dtype([found])[0]
    weak = is_scalar(found) or (isinstance(found, Operand) and found.weak)
    allowed = (
        np.result_type(x.dtype, emit.result_dtype([found])[0].type(0).item()) == x.dtype
        if weak
        else np.can_cast(kind, x.dtype, "same_kind")
    )
    if not allowed:
        raise DTypeError(
            message(
                f"{subject}: the value does not fit the array",
                got=short_name(kind),
                expected=short_name(x.dtype),
                where=here(),
                advice=f"value.astype({short_name(x.dtype)!r})",
            )
        )
    return emit.cast(found, x.dtype, subject)


@dataclass(frozen=True, slots=True)
class _View:
    """The basic part of a key: a slice of the whole operand."""

    starts: tuple[Size, ...]
    sizes: tuple[Size, ...]
    steps: tuple[int, ...]

    def of(self, x: Term) -> Term:
        if self.whole(x):
            return x
        return x.slice(self.starts, self.sizes, self.steps)

    def whole(self, x: Term) -> bool:
        return not any(self.starts) and set(self.steps) <= {1} and self.sizes == x.shape


def _view(key: Key, shape: tuple[Size, ...]) -> _View:
    """Every axis of the operand: spans and positions sliced, picked axes whole."""
    entries = [entry for entry in key.entries if not isinstance(entry, New)]
    spans = [_as_span(entry, size) for entry, size in zip(entries, shape, strict=True)]
    return _View(
        tuple(span.start for span in spans),
        tuple(span.size for span in spans),
        tuple(span.step for span in spans),
    )


def _as_span(entry: At | Span | Picked | New, size: Size) -> Span:
    match entry:
        case Span():
            return entry
        case At(position):
            return Span(position, 1, 1)
        case Picked() | New():
            return Span(0, size, 1)


def _kept_shape(key: Key, view: _View) -> tuple[Size, ...]:
    """The shape after positions disappear and new axes appear."""
    sizes = iter(view.sizes)
    kept: list[Size] = []
    for entry in key.entries:
        if isinstance(entry, New):
            kept.append(1)
            continue
        size = next(sizes)
        if not isinstance(entry, At):
            kept.append(size)
    return tuple(kept)


def _read(x: Term, key: Key) -> Term:
    view = _view(key, x.shape)
    basic = view.of(x).reshape(_kept_shape(key, view))
    if not key.advanced:
        return basic
    plan = _gather_plan(key, basic.shape)
    merged = basic.permute(plan.order).reshape(plan.merged(basic.shape))
    return term.take(merged, Term(plan.index), plan.place, "raise")


def _write_basic(x: Term, key: Key, new: Value, combine: str) -> Term:
    view = _view(key, x.shape)
    fitted = Term(_fit(new, _kept_shape(key, view))).reshape(view.sizes)
    op = COMBINE[combine]
    if op is not None:
        fitted = _combined(op, view.of(x), fitted)
    return fitted if view.whole(x) else x.set_slice(fitted, view.starts, view.steps)


def _combined(op: Op, old: Term, new: Term) -> Term:
    if old.dtype == BOOL:
        raise emit.not_for(f"at[...].{op.name}", BOOL, "numbers", "astype('i32') first")
    return term.make(op, old, new)


def _fit(new: Value, shape: tuple[Size, ...]) -> Value:
    """The new value broadcast to the shape of the place it is written to."""
    own = new.type.shape
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    new = Term(new).reshape(own).value
    common, needed = emit.broadcast_shapes([shape, own], "index update")
    if len(common) != len(shape) or any(
        size == 1 and got != 1 for size, got in zip(shape, common, strict=True)
    ):
        raise ShapeError(
            message(
                "index update: the value does not fit the place",
                got=shape_text(new.type.shape),
                expected=f"what broadcasts to {shape_text(shape)}",
                where=here(),
            )
        )
    fitted = emit.stretch(new, shape)
    return constraints.attach(fitted, needed) if fitted is not new else fitted


@dataclass(frozen=True, slots=True)
class _GatherPlan:
    """Which axes are picked, where they go, and the one index over their merge."""

    order: tuple[int, ...]  # the permutation that puts picked axes side by side
    place: int  # axis of the merge after the permutation
    picked: int  # how many axes are merged
    index: Value

    def merged(self, shape: Sequence[Size]) -> tuple[Size, ...]:
        moved = [shape[axis] for axis in self.order]
        end = self.place + self.picked
        return (*moved[: self.place], size_product(tuple(moved[self.place : end])), *moved[end:])


def _gather_plan(key: Key, shape: tuple[Size, ...]) -> _GatherPlan:
    picked = [(i, entry) for i, entry in enumerate(key.entries) if isinstance(entry, Picked)]
    axes = [i for i, _ in picked]
    adjacent = len({entry.group for _, entry in picked}) == 1
    place = axes[0] if adjacent else 0
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    order = (*rest[:place], *axes, *rest[place:])
    sizes = [shape[axis] for axis in axes]
    return _GatherPlan(order, place, len(axes), _merged_index([e for _, e in picked], sizes))


def _merged_index(picked: Sequence[Picked], sizes: Sequence[Size]) -> Value:
    """One i64 index into the merged axes; out of range wherever any of the parts is."""
    parts = [emit.cast(Operand(entry.index), I64, "index") for entry in picked]
    shaped = [Term(value) for value in emit.together(parts, "index arrays")]
    if len(shaped) == 1:
        return shaped[0].value
    total: Term | None = None
    valid: Term | None = None
    for entry, part, size in zip(picked, shaped, sizes, strict=True):
        extent = term.size(size).broadcast_to(part.shape)
        inside = _from_end(part, size) if entry.wraps else part
        total = inside if total is None else total * extent + inside
        if not (_known(entry) and isinstance(size, int)):
            fits = inside.ge(0) & term.make(ops.LT, inside, extent)
            valid = fits if valid is None else valid & fits
    assert total is not None
    if valid is None:
        return total.value
    beyond = term.size(size_product(tuple(sizes))).broadcast_to(total.shape)
    return term.where(valid, total, beyond).value


def _known(entry: Picked) -> bool:
    """Whether the positions were checked while the key was parsed."""
    return not entry.wraps and entry.index.node is not None and not entry.index.node.operands


def _from_end(index: Term, size: Size) -> Term:
    """Negative positions counted from the end."""
    extent = term.size(size).broadcast_to(index.shape)
    return term.where(index.lt(0), index + extent, index)


def _write_picked(x: Term, key: Key, new: Value, combine: str) -> Term:
    if any(isinstance(entry, New) for entry in key.entries):
        raise UnsupportedError(
            message(
                "index update: None together with integer arrays",
                where=here(),
                advice="index without None and reshape the value",
            )
        )
    view = _view(key, x.shape)
    base = view.of(x)
    kept = base.reshape(_kept_shape(key, view))
    plan = _gather_plan(key, kept.shape)
    moved = kept.permute(plan.order)
    merged = moved.reshape(plan.merged(kept.shape))
    rows = plan.index.type.shape
    shape = (*merged.shape[: plan.place], *rows, *merged.shape[plan.place + 1 :])
    attrs: Attrs = {"axis": plan.place, "mode": "raise", "combine": combine}
    op = ops.SCATTER if combine in {"set", "add"} else ops.SCATTER_FOLD
    operands = (merged, Term(plan.index), Term(_fit(new, shape)))
    written = term.apply_op(op, operands, attrs)
    back = written.reshape(moved.shape).permute(np.argsort(plan.order).tolist())
    whole = back.reshape(base.shape)
    return whole if view.whole(x) else x.set_slice(whole, view.starts, view.steps)


def _symbolic_mask(key: Any) -> Operand | None:
    if not is_symbolic(key) and not (isinstance(key, np.ndarray) and key.dtype == np.bool_):
        return None
    mask = operand(key, "index update")
    return mask if mask.dtype == BOOL and mask.type.rank > 0 else None


def _masked(x: Operand, mask: Operand, value: Any, combine: str) -> Operand:
    """`x[mask] = value` for a value that does not depend on how many elements are chosen."""
    new = assignable(value, x, "index update")
    rank = mask.type.rank
    if new.type.rank > x.type.rank - rank or rank > x.type.rank:
        raise UnsupportedError(
            message(
                "index update: a value per chosen element of a mask",
                got=shape_text(new.type.shape),
                expected="a scalar, or a value of the axes that the mask leaves",
                where=here(),
                advice="sc.where(mask, value, x)",
            )
        )
    wide = Term(mask.value).reshape((*mask.type.shape, *(1,) * (x.type.rank - rank))).value
    chosen, old = emit.together([wide, x.value], "index update")
    fitted = Term(_fit(new, old.type.shape))
    op = COMBINE[combine]
    if op is not None:
        fitted = _combined(op, Term(old), fitted)
    return Operand(term.where(Term(chosen), fitted, Term(old)).value)
