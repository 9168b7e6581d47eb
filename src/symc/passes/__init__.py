"""Passes: each file one pass, `run(function, options) -> function`; the pipelines stand here once.

Meaning passes define the program that the oracle evaluates; optimising passes keep every bit of it
unless licensed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from symc.ir import ops
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.ops.record import Op
from symc.ir.options import Options
from symc.ir.report import Fired, Report, Timing
from symc.passes import cse, dce, inline, order, stabilise
from symc.passes.pattern import Match, Rule
from symc.passes.sweep import Sweep

Pass = Callable[[Function, Options], Function]
# Called with the pass's name and the function before and after it.
Observer = Callable[[str, Function, Function], None]


# What a late pass needs to find work in a function: regions, one of these ops, a licence.
_NESTED: Final = frozenset({"branches", "loops"})
_ABOUT: Final[dict[str, frozenset[Op]]] = {
    "lift": frozenset({ops.RESHAPE}),
    "forward": frozenset({ops.SLICE, ops.CONCAT}),
    "apart": frozenset({ops.CONCAT}),
    "narrow": frozenset({ops.SLICE}),
    "chains": frozenset({ops.DOT}),
    "share": frozenset({ops.DOT}),
    "turn": frozenset({ops.SCAN}),
    "windows": frozenset({ops.SCAN, ops.WHILE}),
    "whiles": frozenset({ops.WHILE}),
}
_LICENSED: Final = {"chains": "reassoc", "multiply_add": "contract"}


def _late(name: str) -> Callable[..., Function]:
    """A pass whose module is loaded when it first has work: a start costs what it needs."""
    about, licence = _ABOUT.get(name), _LICENSED.get(name)

    def run(function: Function, options: Options, *rest: object) -> Function:
        if licence is not None and licence not in options.licences:
            return function
        if name in _NESTED and not any(node.regions for node in function.nodes):
            return function
        if about is not None and all(node.op not in about for node in function.nodes):
            return function
        made: Function = import_module(f"symc.passes.{name}").run(function, options, *rest)
        return made

    return run


PASSES: Final[dict[str, Callable[..., Function]]] = {
    "inline": inline.run,
    "stabilise": stabilise.run,
    "order": order.run,
    "cse": cse.run,
    "merge": cse.merge,
    "dce": dce.run,
} | {
    name: _late(name)
    for name in (
        "branches",
        "loops",
        "contractions",
        "fold",
        "lift",
        "algebra",
        "forward",
        "apart",
        "narrow",
        "chains",
        "share",
        "multiply_add",
        "turn",
        "windows",
        "whiles",
    )
}

MEANING: Final = (
    "inline",
    "cse",
    "branches",
    "stabilise",
    "cse",
    "loops",
    "whiles",
    "windows",
    "contractions",
    "order",
    "dce",
)
# Passes that change bits on purpose: what they make is what the program means.
INEXACT: Final = frozenset(
    {"stabilise", "loops", "contractions", "chains", "share", "multiply_add", "turn"}
)
_SIMPLER: Final = (
    *("fold", "lift", "algebra", "forward", "apart", "narrow", "chains", "share"),
    *("multiply_add", "turn"),  # after all that look for products
)
OPTIMISING: Final[dict[int, tuple[str, ...]]] = {
    0: ("dce",),
    1: ("fold", "cse", "dce"),
    2: (*_SIMPLER, "cse", "dce"),
    3: (*_SIMPLER, "fold", "cse", "dce"),
}

# Passes that walk regions by themselves, outermost first.
_WHOLE: Final = frozenset({"branches"})
_RULE_PASSES: Final = frozenset({"stabilise", "contractions", "algebra", "multiply_add"})
# Passes that say what they replaced by what, without a table of rows.
_NOTING: Final = frozenset({"apart", "narrow", "chains", "share"})
# Passes that say what they did to loops.
_MOVING: Final = frozenset({"loops", "whiles"})


def run_passes(
    function: Function,
    names: tuple[str, ...],
    options: Options,
    report: Report | None = None,
    observer: Observer | None = None,
) -> Function:
    """Run the named passes in order, noting what fired and how long each took."""
    settled: set[str] = set()  # passes that have nothing to do on the function as it is now
    for name in names:
        start = time.perf_counter()
        after = function if name in settled else _everywhere(name, function, options, report)
        if after is not function:
            settled.clear()
        settled.add(name)
        if report is not None:
            spent = (time.perf_counter() - start) * 1e3
            report.timings.append(Timing(name, spent, len(function.nodes), len(after.nodes)))
        if observer is not None:
            observer(name, function, after)
        function = after
    return function


def _everywhere(name: str, function: Function, options: Options, report: Report | None) -> Function:
    """One pass on the regions of control flow, innermost first, and on the function."""
    if name not in _WHOLE and any(node.regions for node in function.nodes):

        def visit(node: Node) -> Sequence[Value] | None:
            regions = tuple(_everywhere(name, r, options, report) for r in node.regions)
            if all(new is old for new, old in zip(regions, node.regions, strict=True)):
                return None
            where = node.locations
            made = apply(node.op, node.operands, node.attrs, regions=regions, locations=where)
            return made.results

        function = Sweep(function).run(visit)
    return _run_one(name, function, options, report)


def _run_one(name: str, function: Function, options: Options, report: Report | None) -> Function:
    if report is None or name not in {*_RULE_PASSES, *_NOTING, *_MOVING}:
        return PASSES[name](function, options)
    if name in _MOVING:
        return PASSES[name](function, options, report.moves.append)
    fired = report.fired
    if name in _NOTING:

        def say(rule: str, replaced: Value, made: Value) -> None:
            assert replaced.node is not None
            fired.append(Fired(rule, name, replaced.node.locations[0], replaced, made))

        return PASSES[name](function, options, say)

    def note(rule: Rule, match: Match, made: Value) -> None:
        place = match.node.locations[0]
        fired.append(Fired(rule.name, name, place, match.root, made, rule.licence))

    return PASSES[name](function, options, note)


def define(function: Function, options: Options) -> Function:
    """The defined program: what the meaning passes make of a traced function."""
    return run_passes(function, MEANING, options)
