"""Control flow: `scan`, `while_loop`, `fori_loop`, `map`, `cond`, `switch`, `ifelse`.

before: Python functions of trees of arrays, for a step, a condition or a branch.  after: one node
of a loop or a choice; each function is traced once into a region that sees its arguments and what
it captures, whatever the number of steps.  On concrete values the whole is traced and compiled at
the call, and its code found by the content of its IR.

Invariants: a carry keeps its tree, shapes and dtypes; a weakly typed carry takes the dtype that its
step returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from symc.frontend import constraints, emit, trees
from symc.frontend.carries import Carried, carried, settled
from symc.frontend.checkpoint import checkpoint as checkpointed
from symc.frontend.choices import choice
from symc.frontend.counted import counted, counted_until, is_number
from symc.frontend.dims import as_size
from symc.frontend.eager import traced_content
from symc.frontend.entering import require_function, runs_symbolic
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand
from symc.frontend.regions import Region, title_of, traced
from symc.frontend.scan_parts import Steps, backwards, in_parts, remembered, truncation
from symc.frontend.sequences import captured_first, pair_of, placed, sequences
from symc.frontend.snapshots import Checkpoints
from symc.frontend.trees import Structure
from symc.frontend.until import Stopped, refuse_beside, stopped_scan
from symc.ir import dims, ops, term
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.dims import Size
from symc.ir.errors import DTypeError, MissingInputError, ShapeError, message
from symc.ir.locations import here
from symc.ir.ops.loop_groups import Operands, make_scan
from symc.ir.ops.switch import joined
from symc.ir.types import BOOL, I64, TensorType
from symc.records import dataclass

NUMBER = TensorType(I64, ())


def at_once_or_traced(run: Callable[..., Any]) -> Callable[..., Any]:
    """`run` on symbolic values; on concrete ones at once, unless it captures a variable, shared
    ones among them."""

    def called(*args: Any) -> Any:
        if runs_symbolic(args):
            return run(*args)
        try:
            content, arrays = traced_content(run, args, {})
        except MissingInputError:
            return run(*args)
        return run(*args) if content.trace.traced.states else content.run(arrays)

    return called


def scan(  # noqa: PLR0913  (the contract's signature)
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    *,
    length: Any = None,
    reverse: bool = False,
    until: Callable[[Any], Any] | None = None,
    truncate: int | None = None,
    checkpoint: Any = None,
    name: str | None = None,
) -> tuple[Any, Any]:
    """`(carry, ys)` after `carry, y = step(carry, x)` for each x of `xs`, or `length` times.

    `init`: the first carry, a tree of arrays.  `xs`: a tree of arrays that share their leading
    axis, or None: then `length`, which may be symbolic, is the number of steps and x is None.  A
    `length` that is an integer scalar takes that many steps, over the first rows of `xs`.
    `reverse`: from the last step to the first; ys keep the order of xs.  ys are stacked along a new
    leading axis.  `until(carry)` gives one bool: the step that makes it true is the last, and ys
    have as many rows as steps ran.  Raises ShapeError or DTypeError when a step changes the type of
    the carry or `length` is no number, at a call DomainError for a number below 0 and
    SymcIndexError for one above the rows of `xs`; UnsupportedError for `until` beside `reverse`,
    `truncate` or `checkpoint`.
    """
    require_function(step, "scan")
    title = name or title_of(step)
    reverse = backwards(reverse, title)
    if until is not None:
        require_function(until, "scan: until")
        refuse_beside(title, reverse=reverse, truncate=truncate, checkpoint=checkpoint)
    if is_number(length):
        if until is not None:
            bounded = partial(counted_until, Stopped(step, until, title, None))
        else:
            own = partial(scan, step, reverse=reverse, truncate=truncate, checkpoint=checkpoint)
            bounded = partial(counted, partial(own, name=title), title)
        numbered: tuple[Any, Any] = at_once_or_traced(bounded)(init, xs, length)
        return numbered
    size = None if length is None else as_size(length, f"{title}: length")
    if until is not None:
        how = Stopped(step, until, title, size)
        stopped: tuple[Any, Any] = at_once_or_traced(partial(stopped_scan, how))(init, xs)
        return stopped
    memory = checkpoint if isinstance(checkpoint, Checkpoints) else None
    kept, every = remembered(step, None if memory else checkpoint, title)
    last = truncation(truncate, title)

    def once(step: Any, init: Any, xs: Any, length: Size | None) -> tuple[Any, Any]:
        how = _Steps(title, length, reverse, memory)
        return _scan(lambda carry, x, number: step(carry, x), init, xs, how)

    def run(init: Any, xs: Any) -> tuple[Any, Any]:
        if every is None and last is None:
            return once(kept, init, xs, size)
        seqs = sequences(xs, size, title)
        whole = trees.unflatten(seqs.tree, [Expr(Operand(x)) for x in seqs.values])
        steps = Steps(once, kept, title, seqs.length, reverse)
        return in_parts(steps, init, whole, last, every)

    found: tuple[Any, Any] = at_once_or_traced(run)(init, xs)
    return found


@dataclass(frozen=True, slots=True)
class _Steps:
    """How a scan runs: its title, the length asked for, the direction, and what it remembers."""

    title: str
    length: Size | None
    reverse: bool
    memory: Checkpoints | None = None


def _scan(step: Callable[..., Any], init: Any, xs: Any, how: _Steps) -> tuple[Any, Any]:
    seqs = sequences(xs, how.length, how.title)

    def traced_with(carry: Carried) -> tuple[Region, Carried, Structure]:
        trees_seen: list[Structure] = []

        def body(own: list[Expr]) -> Any:
            count = len(carry.operands)
            x = trees.unflatten(seqs.tree, own[count:-1])
            made = step(trees.unflatten(carry.tree, own[:count]), x, own[-1])
            after, y = pair_of(made, how.title)
            trees_seen.append(trees.flatten(y)[1])
            return carry.leaves(after), y

        given = [*carry.operands, *seqs.steps, Operand(Value(NUMBER))]
        region = traced(how.title, body, given)
        return region, carry, trees_seen[0]

    carry = carried(init, f"{how.title}: init")
    region, carry, ys_tree = settled(carry, traced_with, how.title)
    count = len(carry.operands)
    body, captured = captured_first(region, count + len(seqs.steps) + 1)
    given = Operands(captured, carry.values, seqs.values)
    node = make_scan(ops.SCAN, body, given, seqs.length, how.reverse)
    if how.memory is not None:
        slots = how.memory.slots([x.type for x in carry.values], how.title)
        attrs = {**node.attrs, "slots": slots}
        node = apply(ops.SCAN_SNAPSHOTS, node.operands, attrs, regions=node.regions)
    results = placed(node, region)[: len(region.function.results)]
    return (
        trees.unflatten(carry.tree, results[:count]),
        trees.unflatten(ys_tree, results[count:]),
    )


def while_loop(
    cond: Callable[[Any], Any], body: Callable[[Any], Any], init: Any, *, checkpoint: Any = None
) -> Any:
    """The carry after `carry = body(carry)` as long as `cond(carry)` holds, zero or more times.

    `cond` gives one bool.  The carry keeps its tree, shapes and dtypes.  Both modes of derivatives
    pass, to any order.  Reverse mode stores what the adjoint reads of every step, or what
    `checkpoint` (`sc.checkpoints`, or a policy) allows.
    """
    require_function(cond, "while_loop: cond")
    require_function(body, "while_loop: body")
    title = title_of(body)
    memory = checkpoint if isinstance(checkpoint, Checkpoints) else None
    step = body if memory or checkpoint is None else checkpointed(body, checkpoint)
    return at_once_or_traced(lambda carry: _while(cond, step, carry, title, memory))(init)


def _while(
    cond: Callable[[Any], Any],
    body: Callable[[Any], Any],
    init: Any,
    title: str,
    memory: Checkpoints | None = None,
) -> Any:

    def traced_with(carry: Carried) -> tuple[Region, Carried, None]:
        def inner(own: list[Expr]) -> Any:
            return carry.leaves(body(trees.unflatten(carry.tree, own)))

        return traced(title, inner, carry.operands), carry, None

    step, carry, _ = settled(carried(init, f"{title}: init"), traced_with, title)
    test = traced(
        title_of(cond), lambda own: cond(trees.unflatten(carry.tree, own)), carry.operands
    )
    _require_bool(test, title_of(cond))
    count = len(carry.operands)
    parts = [captured_first(region, count) for region in (test, step)]
    regions, captured = joined(parts, count)
    operands = (*captured, *carry.values)
    node = _loop(operands, regions, count, memory, title)
    for value in node.results:
        constraints.attach(value, test.constraints)
    return trees.unflatten(carry.tree, placed(node, step)[:count])


def _loop(
    operands: Sequence[Value],
    regions: tuple[Function, ...],
    carries: int,
    memory: Checkpoints | None,
    title: str,
) -> Node:
    """A while loop whose states reverse mode remembers all, or few of."""
    if memory is None:
        return apply(ops.WHILE, operands, {"carries": carries}, regions=regions)
    slots = memory.slots([x.type for x in operands[len(operands) - carries :]], title)
    attrs = {"carries": carries, "slots": slots}
    return apply(ops.SNAPSHOTS, operands, attrs, regions=regions)


def _require_bool(test: Region, title: str) -> None:
    found = [result.type for result in test.function.results]
    if found != [TensorType(BOOL, ())]:
        raise DTypeError(
            message(f"{title}: the condition", got=found, expected="one bool", where=here())
        )


def fori_loop(lo: Any, hi: Any, body: Callable[[Any, Any], Any], init: Any) -> Any:
    """The carry after `carry = body(i, carry)` for i in lo, lo + 1, ..., hi - 1.

    `lo` and `hi` are ints or sizes, or integer scalars that are known at run time: then it is a
    `while_loop`.  The carry keeps its tree, shapes and dtypes.
    """
    require_function(body, "fori_loop")
    if any(isinstance(bound, Expr | np.ndarray) for bound in (lo, hi)):
        return at_once_or_traced(lambda *given: _counted(body, *given))(lo, hi, init)
    first, last = as_size(lo, "fori_loop: lo"), as_size(hi, "fori_loop: hi")
    count = dims.maximum(0, last - first)

    def step(carry: Any, _: None, number: Expr) -> tuple[Any, None]:
        return body(_shifted(number, first), carry), None

    def run(init: Any) -> Any:
        return _scan(step, init, None, _Steps(title_of(body), count, reverse=False))[0]

    return at_once_or_traced(run)(init)


def _counted(body: Callable[[Any, Any], Any], lo: Any, hi: Any, init: Any) -> Any:
    """A loop over numbers that are known at run time."""
    first, last = _number(lo, "fori_loop: lo"), _number(hi, "fori_loop: hi")

    def step(state: tuple[Any, Any]) -> tuple[Any, Any]:
        i, carry = state
        return i + 1, body(i, carry)

    return _while(lambda state: state[0] < last, step, (first, init), title_of(body))[1]


def _number(x: Any, subject: str) -> Expr:
    """One integer, as i64."""
    found = lift(x, subject).__symc_operand__()
    if found.value.type.rank or found.value.type.dtype.kind not in "iu":
        raise DTypeError(
            message(subject, got=found.value.type, expected="one integer", where=here())
        )
    return Expr(Operand(emit.cast(found, I64, subject)))


def _shifted(number: Expr, first: Size) -> Expr:
    """The number of a step, counted from `first`."""
    if first == 0:
        return number
    moved = term.Term(number.__symc_operand__().value) + term.size(first)
    return Expr(Operand(moved.value))


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """f of each row of `xs`, a tree of arrays that share their leading axis, one after another."""
    require_function(f, "map")
    return scan(lambda carry, x: (carry, f(x)), (), xs, name=title_of(f))[1]


def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any
) -> Any:
    """`true_fn(*operands)` where `pred` (one bool) holds, else `false_fn(*operands)`.

    Only the branch that is taken is evaluated, also in derivatives.  Both give the same tree,
    shapes and dtypes; a Python number takes the dtype that stands in its place in the other.
    """
    for f in (true_fn, false_fn):
        require_function(f, "cond")

    def run(pred: Any, operands: tuple[Any, ...]) -> Any:
        chosen = lift(pred, "cond: pred").__symc_operand__()
        if chosen.value.type != TensorType(BOOL, ()):
            raise DTypeError(
                message("cond: pred", got=chosen.value.type, expected="one bool", where=here())
            )
        number = emit.cast(chosen, I64, "cond: pred")
        return choice("cond", number, (false_fn, true_fn), operands)

    return at_once_or_traced(run)(pred, operands)


def switch(i: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[i](*operands)`; i is one integer, clamped into range.

    Only the branch that is taken is evaluated.  All give the same tree, shapes and dtypes.
    """
    chosen = tuple(branches)
    if not chosen:
        raise ShapeError(message("switch: branches", got=0, expected="one or more", where=here()))
    for f in chosen:
        require_function(f, "switch")

    def run(i: Any, operands: tuple[Any, ...]) -> Any:
        number = _number(i, "switch: i").__symc_operand__().value
        return choice("switch", number, chosen, operands)

    return at_once_or_traced(run)(i, operands)


def ifelse(pred: Any, a: Any, b: Any) -> Any:
    """`a` where `pred` (one bool) holds, else `b`: values of one type, chosen as a whole.

    What only one of them needs is computed only when it is taken, wherever it was written: checks
    included, and in derivatives too.
    """
    return cond(pred, lambda: a, lambda: b)
