"""`scan`, `map`, `reduce`, `foldl` and `foldr` as Theano had them.

before: a step of sequence slices, states and other values.  after: outputs stacked over the steps,
and the updates of shared variables that the steps ask for, to be passed on to `sc.function`.

The step is traced into a region once per type of its states; what it captures is seen there, so
that `strict` can refuse it and a shared variable that it updates becomes a state of the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from symc.frontend import constraints
from symc.frontend.control import scan as loop
from symc.frontend.dims import public
from symc.frontend.entering import require_function
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import CapturedValue, Operand
from symc.frontend.regions import Region, title_of, traced
from symc.frontend.shared import Shared
from symc.ir.core import Value
from symc.ir.errors import DTypeError, MissingInputError, ShapeError, message
from symc.ir.locations import here
from symc.ir.rewriter import spliced
from symc.ir.types import BOOL
from symc.records import dataclass
from symc.theano.returned import Returned, parsed
from symc.theano.sequences import Rows, State, listed, newest_first, rows, states

Updates = dict[Shared, Expr]


def scan(  # noqa: PLR0913, PLR0917  (Theano's signature)
    fn: Callable[..., Any],
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    n_steps: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
    profile: Any = False,
    allow_gc: Any = None,
    strict: bool = False,
    return_list: bool = False,
) -> tuple[Any, Updates]:
    """`(outputs, updates)` of `fn` run over the steps; one output stands alone.

    `fn` gets a slice of each sequence (per tap), the states (per tap), then `non_sequences`; it
    returns outputs, updates of shared variables, or both.  `outputs_info`: per output None, an
    initial state, or `{"initial": rows, "taps": [-2, -1]}`.  `n_steps`: a size, or an integer
    scalar; a call with a negative one raises DomainError, with one above the rows of a sequence
    SymcIndexError.  `truncate_gradient`: the number of last steps that gradients go through, -1 for
    all.  `strict`: `fn` may use no outer variable but `non_sequences`.  `mode`, `profile` and
    `allow_gc` are those of the function that compiles it.

    Raises ShapeError or DTypeError where states and outputs do not fit each other,
    MissingInputError for a capture under `strict`.

    A step that also returns `until(condition)` is the last one when its condition holds; outputs
    have as many rows as steps ran, at most as many as there are sequences or `n_steps` says.
    Gradients go through all of them: UnsupportedError beside `truncate_gradient`.
    """
    require_function(fn, "scan")
    title = name or title_of(fn)
    own = rows(sequences, n_steps, bool(go_backwards), title)
    step = _Step(fn, title, own, listed(non_sequences), bool(strict), states(outputs_info, title))
    cut = None if truncate_gradient == -1 else truncate_gradient
    return step.looped(cut, return_list)


@dataclass(slots=True)
class _Step:
    """The step of a scan: its function, and what it is given."""

    fn: Callable[..., Any]
    title: str
    rows: Rows
    others: list[Any]
    strict: bool
    states: list[State] | None

    def looped(self, cut: int | None, return_list: bool) -> tuple[Any, Updates]:
        """The loop, and what it gives in the user's form."""
        found = self._tried()
        if self.states is None:
            self.states = [State((), []) for _ in found.outputs]
        self._require_count(len(found.outputs))
        targets = list(dict.fromkeys(target for target, _ in found.updates))
        init = ([state.initial for state in self.states], [_copied(x) for x in targets])

        def step(carry: Any, slices: Any) -> tuple[Any, Any]:
            past, current = carry[:2]
            made = self._placed(slices or (), past, dict(zip(targets, current, strict=True)))
            after = dict(made.updates)
            pairs = zip(self._states(), past, made.outputs, strict=True)
            moved = [[*row, y][-state.depth :] if state.depth else [] for state, row, y in pairs]
            new = (moved, [after[target] for target in targets], *_flag(made, self.title))
            return new, tuple(made.outputs)

        arrays = tuple(self.rows.arrays) or None
        size = self.rows.length
        stops = found.stops is not None
        last, ys = loop(
            step,
            (*init, False) if stops else init,
            arrays,
            length=public(size),
            until=(lambda carry: carry[2]) if stops else None,
            truncate=cut,
            name=self.title,
        )
        outputs: Any = list(ys)
        if not return_list and len(outputs) == 1:
            outputs = outputs[0]
        elif not return_list and not outputs:
            outputs = None
        return outputs, dict(zip(targets, last[1], strict=True))

    def _states(self) -> list[State]:
        assert self.states is not None
        return self.states

    def _require_count(self, outputs: int) -> None:
        if len(self._states()) != outputs:
            raise ShapeError(
                message(
                    f"{self.title}: outputs_info",
                    got=f"{len(self._states())} entries",
                    expected=f"{outputs}, one per output; None for an output without a state",
                    where=here(),
                )
            )

    def _tried(self) -> Returned:
        """What the step returns: how many outputs, and which shared variables it updates."""
        slices = [Value(x.type.with_shape(x.type.shape[1:])) for x in _values(self.rows.arrays)]
        past = [
            [Expr(Operand(Value(x.type))) for x in _values(s.initial)] for s in self.states or ()
        ]
        given = [Expr(Operand(x)) for x in slices]
        return self._traced(given, past)[1]

    def _traced(
        self, slices: Sequence[Expr], past: Sequence[Sequence[Expr]]
    ) -> tuple[Region, Returned]:
        """The step as a region; its results are outputs, then updates."""
        states = zip(self.states or (), past, strict=True)
        tapped = [x for state, row in states for x in newest_first(row, state.taps)]
        given = [lift(x, self.title) for x in (*slices, *tapped, *self.others)]
        seen: list[Returned] = []

        def body(own: list[Expr]) -> Any:
            made = parsed(self.fn(*own), self.title)
            seen.append(made)
            stops = [] if made.stops is None else [made.stops]
            return made.outputs, [value for _, value in made.updates], stops

        region = traced(self.title, body, [x.__symc_operand__() for x in given])
        if self.strict:
            self._require_closed(region, len(given))
        return region, seen[0]

    def _require_closed(self, region: Region, given: int) -> None:
        own = region.operands[:given]
        free = [x for x in region.operands[given:] if x not in own]
        free = [x for x in free if not isinstance(x, CapturedValue)]
        if free:
            raise MissingInputError(
                message(
                    f"{self.title}: strict",
                    got=[x.name or str(x.type) for x in free],
                    expected="no outer variable that is not in non_sequences",
                    where=here(),
                )
            )

    def _placed(
        self, slices: Sequence[Expr], past: Sequence[Sequence[Expr]], current: Updates
    ) -> Returned:
        """The step on values of the loop, shared variables read from its states."""
        region, found = self._traced(slices, past)
        instead: dict[Value, Value] = {
            target.value: x.__symc_operand__().value for target, x in current.items()
        }
        operands = [instead.get(x, x) for x in region.operands]
        values = spliced(region.function, operands)
        for value in values:
            if value.node is not None:
                constraints.attach(value, region.constraints)
        made = [Expr(Operand(*pair)) for pair in zip(values, region.weak, strict=True)]
        count = len(found.outputs)
        pairs = zip(found.updates, made[count : count + len(found.updates)], strict=True)
        updates = [(target, _fitting(target, x, self.title)) for (target, _), x in pairs]
        stops = made[-1] if found.stops is not None else None
        return Returned(made[:count], updates, found.single, stops)


def _flag(made: Returned, title: str) -> list[Expr]:
    """Whether the loop stops, as one bool; nothing for a loop that runs all steps."""
    if made.stops is None:
        return []
    found = lift(made.stops, f"{title}: until")
    if found.ndim:
        raise ShapeError(
            message(f"{title}: until", got=found.shape, expected="one condition", where=here())
        )
    return [found if found.dtype == BOOL else found != 0]


def _values(leaves: Sequence[Expr]) -> list[Value]:
    return [x.__symc_operand__().value for x in leaves]


def _copied(target: Shared) -> Expr:
    return Expr(Operand(target.value))


def _fitting(target: Shared, x: Expr, title: str) -> Expr:
    """An update in the type of its variable."""
    operand = x.__symc_operand__()
    if operand.weak and operand.dtype != target.dtype:
        return x.astype(target.dtype)
    if operand.value.type != target.value.type:
        raise DTypeError(
            message(
                f"{title}: update of {target.name or 'a shared variable'}",
                got=operand.value.type,
                expected=target.value.type,
                where=here(),
            )
        )
    return x


def map(  # noqa: PLR0913, PLR0917  (Theano's signature)
    fn: Callable[..., Any],
    sequences: Any,
    non_sequences: Any = None,
    truncate_gradient: int = -1,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Updates]:
    """`(outputs, updates)` of `fn` for each row of the sequences."""
    return scan(
        fn,
        sequences,
        None,
        non_sequences,
        truncate_gradient=truncate_gradient,
        go_backwards=go_backwards,
        name=name,
    )


def reduce(  # noqa: PLR0913, PLR0917  (Theano's signature)
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any = None,
    go_backwards: bool = False,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Updates]:
    """`(last outputs, updates)`: each output after the last row of the sequences."""
    found, updates = scan(
        fn,
        sequences,
        outputs_info,
        non_sequences,
        go_backwards=go_backwards,
        name=name,
        return_list=True,
    )
    last = [x[-1] for x in found]
    return (last[0] if len(last) == 1 else last), updates


def foldl(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any = None,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Updates]:
    """`reduce` from the first row on."""
    return reduce(fn, sequences, outputs_info, non_sequences, False, mode, name)


def foldr(
    fn: Callable[..., Any],
    sequences: Any,
    outputs_info: Any,
    non_sequences: Any = None,
    mode: Any = None,
    name: str | None = None,
) -> tuple[Any, Updates]:
    """`reduce` from the last row down."""
    return reduce(fn, sequences, outputs_info, non_sequences, True, mode, name)
