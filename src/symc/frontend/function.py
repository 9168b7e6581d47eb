"""`sc.function`: the explicit door's compiled function.

before: variables, expressions over them, updates of shared variables.  after: a `Function` whose
calls run natively; what the native call path does not take as it is comes to `_miss`, which
converts or says in words what is wrong.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from symc.frontend import backend
from symc.frontend.convert import argument, as_array, check_sizes
from symc.frontend.emit import cast
from symc.frontend.expr import Expr, lift
from symc.frontend.graft import bind_sizes, fit, graft
from symc.frontend.inspecting import Inspectable
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.pickling import Packed, packed, unpacked
from symc.frontend.prepared import Serving
from symc.frontend.settings import resolve
from symc.frontend.shared import Shared
from symc.frontend.spec import short_name
from symc.frontend.trace import Update, accepted, build, symbols_of
from symc.frontend.variables import Variable
from symc.ir.collector import paused
from symc.ir.core import Value, reachable_whole
from symc.ir.entry import InputInfo
from symc.ir.errors import (
    DomainError,
    DTypeError,
    ShapeError,
    TracerError,
    message,
)
from symc.ir.locations import here
from symc.runtime.executable import Structure

Updates = Mapping[Shared, Any] | Iterable[tuple[Shared, Any]]
_UNUSED: Final = ("raise", "warn", "ignore")


def function(
    inputs: Sequence[Variable],
    outputs: Any = None,
    *,
    updates: Updates | None = None,
    givens: Mapping[Any, Any] | Sequence[tuple[Any, Any]] | None = None,
    name: str | None = None,
    on_unused_input: str = "raise",
    **options: Any,
) -> Function:
    """Compile `outputs` (an expression, a sequence of them, or None) as a function of `inputs`.

    `updates`: shared variable -> new value, all computed from the old values.  `givens`: variable
    -> what to put in its place.  Raises MissingInputError, ShapeError, DTypeError, DomainError.
    """
    settings = resolve(options)
    title = name or "function"
    variables = _check_inputs(inputs, title)
    many = isinstance(outputs, list | tuple)
    wanted = [] if outputs is None else list(outputs) if many else [outputs]
    results = [lift(x, f"{title}: output").__symc_operand__().value for x in wanted]
    changed = _check_updates(updates, title)
    with paused():
        if givens:
            results, changed = _substituted(results, changed, dict(givens), title)
        values = [variable.value for variable in variables]
        _check_used(values, [*results, *(u.value for u in changed)], on_unused_input, title)
        infos = [InputInfo(v.name or "", accepted(v.type)) for v in values]
        traced = build(title, values, infos, results, changed)
        structure = backend.NONE if outputs is None else backend.TUPLE if many else backend.SINGLE
        return Function(backend.load(traced, settings), structure)


def _check_inputs(inputs: Any, title: str) -> list[Variable]:
    if not isinstance(inputs, list | tuple):
        raise DTypeError(
            message(
                f"{title}: inputs",
                got=type(inputs).__name__,
                expected="a list of variables",
                where=here(),
            )
        )
    names: set[str] = set()
    for item in inputs:
        if not isinstance(item, Variable):
            raise DTypeError(
                message(
                    f"{title}: an input that is not a variable",
                    got=repr(item),
                    expected="what sc.var returned",
                    where=here(),
                    advice="givens= to replace an expression; shared variables are implicit inputs",
                )
            )
        if str(item.name) in names:
            raise DomainError(
                message(
                    f"{title}: two inputs called {item.name}",
                    expected="each variable once, each with its own name",
                    where=here(),
                )
            )
        names.add(str(item.name))
    return list(inputs)


def _check_updates(updates: Updates | None, title: str) -> list[Update]:
    pairs = list(updates.items() if isinstance(updates, Mapping) else updates or ())
    seen: set[Shared] = set()
    found = []
    for target, new in pairs:
        if not isinstance(target, Shared):
            raise DTypeError(
                message(
                    f"{title}: update of something not shared",
                    got=repr(target),
                    expected="what sc.shared returned",
                    where=here(),
                )
            )
        if target in seen:
            raise DomainError(
                message(
                    f"{title}: two updates of shared variable {target.name}",
                    expected="one new value each",
                    where=here(),
                )
            )
        seen.add(target)
        found.append(Update(target, _new_contents(target, new, title)))
    return found


def _new_contents(target: Shared, new: Any, title: str) -> Value:
    subject = f"{title}: update of {target.name or 'a shared variable'}"
    made = lift(new, subject).__symc_operand__()
    weak_fits = (
        made.weak and np.result_type(target.dtype, made.dtype.type(0).item()) == target.dtype
    )
    if not weak_fits and not np.can_cast(made.dtype, target.dtype, "safe"):
        raise DTypeError(
            message(
                f"{subject}: the dtype does not cast safely",
                got=short_name(made.dtype),
                expected=short_name(target.dtype),
                where=here(),
                advice=f"new_value.astype({short_name(target.dtype)!r})",
            )
        )
    return fit(cast(made, target.dtype, subject), target.type, subject)


def _substituted(
    results: list[Value], changed: list[Update], givens: Mapping[Any, Any], title: str
) -> tuple[list[Value], list[Update]]:
    replaced: list[Value] = []
    given: list[Value] = []
    for target, new in givens.items():
        if not isinstance(target, Variable | Shared):
            raise DTypeError(
                message(
                    f"{title}: givens", got=repr(target), expected="variables as keys", where=here()
                )
            )
        made = lift(new, f"{title}: givens").__symc_operand__()
        if not made.weak and not np.can_cast(made.dtype, target.dtype, "safe"):
            raise DTypeError(
                message(
                    f"{title}: givens for {target.name} of another dtype",
                    got=short_name(made.dtype),
                    expected=short_name(target.dtype),
                    where=here(),
                    advice=f"astype({short_name(target.dtype)!r})",
                )
            )
        replaced.append(target.value)
        given.append(cast(made, target.dtype, f"{title}: givens"))
    names = [str(value.name) for value in replaced]
    sizes, fitted = bind_sizes([value.type for value in replaced], given, names, f"{title}: givens")
    kept = {n: s for n, s in sizes.items() if not _same(n, s)}
    new_values = graft(
        [*results, *(u.value for u in changed)], dict(zip(replaced, fitted, strict=True)), kept
    )
    count = len(results)
    updates = [Update(u.shared, v) for u, v in zip(changed, new_values[count:], strict=True)]
    return new_values[:count], updates


def _same(name: str, size: Any) -> bool:
    return str(size) == name


def _check_used(
    inputs: Sequence[Value], results: Sequence[Value], on_unused_input: str, title: str
) -> None:
    if on_unused_input not in _UNUSED:
        raise DomainError(
            message("on_unused_input", got=repr(on_unused_input), expected=_UNUSED, where=here())
        )
    nodes, free = reachable_whole(results)
    sizes = symbols_of(nodes).keys()
    for value in inputs:
        if value in free or not sizes.isdisjoint(value.type.symbols()):
            continue
        text = message(
            f"{title}: input {value.name} is not used by any output",
            where=here(),
            advice="remove it, or on_unused_input='ignore'",
        )
        if on_unused_input == "raise":
            raise DomainError(text)
        if on_unused_input == "warn":
            warnings.warn(text, UserWarning, stacklevel=3)


class Function(Inspectable):
    """A compiled function of declared inputs.  Call it with arrays, by position or by name."""

    def __init__(self, loaded: backend.Loaded, structure: Structure) -> None:
        super().__init__(self._miss, self._resolve)
        self._loaded = loaded
        self._structure = structure
        loaded.register(self, structure)
        self.trust_input = loaded.options.trust_input
        entry = loaded.traced.entry
        self._names = [info.name for info in entry.inputs]
        self._inputs = entry.function.params[: len(entry.inputs)]

    def __repr__(self) -> str:
        named = zip(self._names, self._inputs, strict=True)
        inputs = ", ".join(f"{name}: {value.type}" for name, value in named)
        return f"<symc function {self._loaded.traced.entry.function.name}({inputs})>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as the text of its program, which is compiled again."""
        return _restored, (packed(self._loaded), int(self._structure), bool(self.trust_input))

    @property
    def current(self) -> backend.Loaded:
        return self._loaded

    def serving(self, args: tuple[Any, ...]) -> Serving:
        pairs = zip(args, self._names, strict=True)
        arrays = [as_array(arg, f"argument {name}") for arg, name in pairs]
        return Serving(self._loaded, arrays, self._structure == backend.SINGLE)

    def _miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ordered = self._ordered(args, kwargs)
        if any(is_symbolic(arg) for arg in ordered):
            return self._inlined(ordered)
        return self._loaded.call(self._converted(ordered), self._structure)

    def _resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        self._loaded.require_native()
        return tuple(self._converted(self._ordered(args, kwargs)))

    def _ordered(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Arguments in the order of the inputs; TypeError as for a Python function."""
        title = self._loaded.traced.entry.function.name
        unknown = [name for name in kwargs if name not in self._names]
        twice = [name for name in self._names[: len(args)] if name in kwargs]
        missing = [name for name in self._names[len(args) :] if name not in kwargs]
        if len(args) > len(self._names) or unknown or twice or missing:
            got = f"{len(args)} positional" + (f" and {', '.join(kwargs)}" if kwargs else "")
            wrong = (
                f"unknown {unknown[0]}"
                if unknown
                else f"{twice[0]} given twice"
                if twice
                else f"{missing[0]} is missing"
                if missing
                else "too many"
            )
            raise TypeError(
                message(
                    f"{title}: arguments ({wrong})",
                    got=got,
                    expected=", ".join(self._names) or "none",
                    where=here(),
                )
            )
        return [*args, *(kwargs[name] for name in self._names[len(args) :])]

    def _converted(self, ordered: Sequence[Any]) -> list[np.ndarray]:
        types = [value.type for value in self._inputs]
        title = self._loaded.traced.entry.function.name
        if self.trust_input:
            raise _not_trusted(title, self._names, types)
        arrays = [
            argument(arg, type, f"{title}: argument {name}")
            for arg, type, name in zip(ordered, types, self._names, strict=True)
        ]
        check_sizes(types, arrays, self._names)
        return arrays

    def _inlined(self, ordered: Sequence[Any]) -> Any:
        """The outputs as symbolic values over symbolic arguments."""
        entry = self._loaded.traced.entry
        title = entry.function.name
        if entry.updates:
            raise TracerError(
                message(
                    f"{title} has updates and cannot be called on symbolic values",
                    where=here(),
                    advice="call it on arrays outside the trace, or build one function of both",
                )
            )
        values = []
        for arg, value, name in zip(ordered, self._inputs, self._names, strict=True):
            made = lift(arg, f"{title}: argument {name}").__symc_operand__()
            if not made.weak and not np.can_cast(made.dtype, value.type.dtype, "safe"):
                raise DTypeError(
                    message(
                        f"{title}: argument {name}",
                        got=made.type,
                        expected=value.type,
                        where=here(),
                        advice=f"astype({short_name(value.type.dtype)!r})",
                    )
                )
            values.append(cast(made, value.type.dtype, title))
        types = [value.type for value in self._inputs]
        sizes, fitted = bind_sizes(types, values, self._names, title)
        replaced = dict(zip(self._inputs, fitted, strict=True))
        made_results = [
            Expr(Operand(value))
            for value in graft(entry.function.results[: entry.outputs], replaced, sizes)
        ]
        if self._structure == backend.NONE:
            return None
        return made_results[0] if self._structure == backend.SINGLE else tuple(made_results)


def _restored(parts: Packed, structure: int, trust_input: bool) -> Function:
    """A function from what was pickled of one."""
    made = Function(unpacked(parts), Structure(structure))
    made.trust_input = trust_input
    return made


def _not_trusted(title: str, names: Sequence[str], types: Sequence[Any]) -> ShapeError:
    expected = ", ".join(f"{n}: {t}" for n, t in zip(names, types, strict=True))
    return ShapeError(
        message(
            f"{title}: trust_input is set and an argument needs conversion",
            expected=f"row-major ndarrays of exactly {expected}",
            where=here(),
            advice="f.trust_input = False",
        )
    )
