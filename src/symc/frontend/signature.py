"""Signatures of traced functions: which arguments are static, declared, donated, and their names.

before: a Python function and the keywords of `sc.jit`.  after: the tree of a call's arguments with
static ones wrapped (they compare by value and have no leaves), and the declared type of each leaf.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symc.frontend import trees
from symc.frontend.convert import argument, is_scalar
from symc.frontend.spec import Spec, spec, tensor_type
from symc.frontend.trees import Static, Structure
from symc.ir.errors import DTypeError, ParseError, ShapeError, message
from symc.ir.locations import here
from symc.ir.types import TensorType
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Choices:
    """The keywords of `sc.jit` that concern arguments."""

    in_specs: Any = None
    static_argnums: tuple[int, ...] = ()
    static_argnames: tuple[str, ...] = ()
    donate_argnums: tuple[int, ...] = ()


class Signature:
    """What is known of a function's arguments before any call."""

    def __init__(self, fn: Callable[..., Any], choices: Choices) -> None:
        try:
            parameters = list(inspect.signature(fn).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        self.parameters = [parameter.name for parameter in parameters]
        self.choices = choices
        self.specs = _declared(parameters, choices.in_specs, getattr(fn, "__name__", "function"))

    def marked(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, trusted: bool = False
    ) -> Any:
        """The arguments as one tree: static ones wrapped, lists for declared arrays converted,
        or refused when `trusted`."""
        if self.specs and trusted:
            self._require_no_lists(args, kwargs)
        elif self.specs:
            args = tuple(self._declared(arg, self._parameter(i)) for i, arg in enumerate(args))
            kwargs = {name: self._declared(arg, name) for name, arg in kwargs.items()}
        if not (self.choices.static_argnames or self.choices.static_argnums):
            return args, kwargs
        named = set(self.choices.static_argnames)
        known = len(self.parameters)
        named |= {self.parameters[n] for n in self.choices.static_argnums if -known <= n < known}
        count = len(args)
        static = {
            number + count if number < 0 else number for number in self.choices.static_argnums
        }
        static |= {i for i, name in enumerate(self.parameters[:count]) if name in named}
        if not static and not named:
            return args, kwargs
        marked = tuple(_wrapped(a, i) if i in static else a for i, a in enumerate(args))
        return marked, {k: _wrapped(v, k) if k in named else v for k, v in kwargs.items()}

    def _declared(self, arg: Any, name: str) -> Any:
        """A list of numbers where one array is declared is that array, not a tree."""
        type = self.specs.get(name)
        if isinstance(type, TensorType) and isinstance(arg, list | tuple):
            return argument(arg, type, f"argument {name}")
        return arg

    def _require_no_lists(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = [*((self._parameter(i), arg) for i, arg in enumerate(args)), *kwargs.items()]
        for name, arg in named:
            type = self.specs.get(name)
            if isinstance(type, TensorType) and isinstance(arg, list | tuple):
                raise _converts(arg, LeafPlace(name, type, False))

    def leaves(self, tree: Structure) -> list[LeafPlace]:
        """Where each leaf of `(args, kwargs)` stands."""
        places = []
        for path in trees.paths(tree):
            kind, first, *rest = path
            name, number = (str(first), None) if kind else (self._parameter(first), first)
            declared = self.specs.get(name)
            for part in rest:
                declared = _child(declared, part)
            if declared is not None and not isinstance(declared, TensorType):
                declared = None
            donated = number is not None and number in self.choices.donate_argnums
            text = name + "".join(f"[{part!r}]" for part in rest)
            places.append(LeafPlace(text, declared, donated))
        return places

    def _parameter(self, number: int) -> str:
        return self.parameters[number] if number < len(self.parameters) else f"args[{number}]"


@dataclass(frozen=True, slots=True)
class LeafPlace:
    """A leaf's name in messages, its declared type, and whether its array is donated."""

    name: str
    declared: TensorType | None
    donated: bool


def require_exact(leaves: Sequence[Any], places: Sequence[LeafPlace]) -> None:
    """trust_input: DTypeError for whatever would be converted.  Python numbers are taken as such
    where no array is declared, and where one of rank 0 is."""
    for leaf, place in zip(leaves, places, strict=True):
        declared = place.declared
        if is_scalar(leaf):
            exact = declared is None or declared.rank == 0
        else:
            exact = type(leaf) is np.ndarray and _as_it_is(leaf, declared)
        if not exact:
            raise _converts(leaf, place)


def _as_it_is(array: np.ndarray, declared: TensorType | None) -> bool:
    """Whether a call takes the array without conversion; sizes are compared elsewhere."""
    flags = array.flags
    laid_out = flags.c_contiguous and flags.aligned and array.dtype.isnative
    return laid_out and (declared is None or array.dtype == declared.dtype)


def _converts(value: Any, place: LeafPlace) -> DTypeError:
    expected = place.declared or "its own dtype"
    got = type(value).__name__
    if isinstance(value, np.ndarray):
        flags = value.flags
        order = "row-major" if flags.c_contiguous and flags.aligned else "strided or unaligned"
        got = f"an {order} array of {value.dtype}"
    return DTypeError(
        message(
            f"argument {place.name}: trust_input is set and it needs conversion",
            got=got,
            expected=f"a row-major ndarray of {expected}",
            where=here(),
            advice="f.trust_input = False",
        )
    )


def _wrapped(value: Any, place: object) -> Any:
    try:
        hash(value)
    except TypeError as error:
        raise DTypeError(
            message(
                f"static argument {place} is not hashable",
                got=type(value).__name__,
                expected="a value that compares and hashes by content",
                where=here(),
            )
        ) from error
    return Static(value)


def _child(declared: Any, part: Any) -> Any:
    """The declaration of one part of a container."""
    if isinstance(declared, dict):
        return declared.get(part)
    if isinstance(declared, list | tuple) and isinstance(part, int) and part < len(declared):
        return declared[part]
    return None


def _declared(parameters: Sequence[inspect.Parameter], in_specs: Any, title: str) -> dict[str, Any]:
    """Declared types by parameter, from `in_specs` or else from annotations."""
    if in_specs is not None:
        listed = list(in_specs) if isinstance(in_specs, list | tuple) else [in_specs]
        names = [parameter.name for parameter in parameters]
        if len(listed) > len(names):
            raise ShapeError(
                message(
                    f"{title}: in_specs",
                    got=len(listed),
                    expected=f"at most {len(names)}",
                    where=here(),
                )
            )
        pairs = zip(names, listed, strict=False)
        return {name: _types(s, f"{title}: {name}") for name, s in pairs if s is not None}
    found = {}
    for parameter in parameters:
        declared = _annotation(parameter.annotation)
        if declared is not None:
            found[parameter.name] = tensor_type(declared, f"{title}: {parameter.name}")
    return found


def _annotation(annotation: Any) -> Spec | None:
    """A spec written as an annotation; other annotations are left alone."""
    if isinstance(annotation, Spec):
        return annotation
    if not isinstance(annotation, str):
        return None
    text = annotation.strip("'\"")
    if "[" not in text:
        return None
    try:
        return spec(text)
    except (ParseError, DTypeError):
        return None


def _types(declared: Any, subject: str) -> Any:
    """A tree of specs as a tree of types."""
    if isinstance(declared, dict):
        return {key: _types(value, subject) for key, value in declared.items()}
    if isinstance(declared, list | tuple):
        return [_types(value, subject) for value in declared]
    if declared is None:
        return None
    return tensor_type(spec(declared), subject)


def example(leaf: Any) -> Any:
    """An array of a spec's dtype and shape (named dims as 2, 3, ...), or the leaf itself."""
    if not isinstance(leaf, Spec):
        return leaf
    names = list(dict.fromkeys(part for part in leaf.shape if isinstance(part, str)))
    sizes = [part if isinstance(part, int) else names.index(part) + 2 for part in leaf.shape]
    return np.zeros(sizes, leaf.dtype)
