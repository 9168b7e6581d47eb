"""Derivatives of a traced program: the meaning passes first, then the rules of differentiation.

before: values of a free graph.  after: their derivatives, as more nodes of the same graph.

Invariant: what is differentiated is the *defined* program (docs/architecture.md), so that a loss
written out by hand has the gradient of its accurate form: log(exp(x) / sum) never divides by a
number that underflowed.

Nodes with rules of differentiation of their own keep their regions apart until then; what is in the
regions is defined first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from symc.autodiff.jvp import tangents
from symc.autodiff.linear import oldest
from symc.autodiff.vjp import gradient
from symc.compile.provenance import note
from symc.ir.build import apply
from symc.ir.collector import paused
from symc.ir.core import Function, Node, Value, reachable
from symc.ir.options import Options
from symc.ir.report import Report
from symc.passes import MEANING, inline, run_passes
from symc.passes.sweep import Sweep

OPTIONS: Final = Options()
# How far a rule looks behind the values that a derivative is taken of.
SIGHT: Final = 8
# Sums of products stay sums until the derivative is taken: where a slope is infinite on the side
# that is not selected, a contraction would multiply it by 0, and a sum leaves it out.
# Which rows of a loop nobody reads is known when the derivatives are there.
LATER: Final = frozenset({"inline", "windows", "contractions"})
# Equal constants stay apart: a program keeps the nodes that its derivative is taken of, and does
# not compute them again.
BEFORE: Final = tuple("merge" if name == "cse" else name for name in MEANING if name not in LATER)


def pullback(
    results: Sequence[Value],
    cotangents: Sequence[Value],
    wrt: Sequence[Value],
    options: Options = OPTIONS,
) -> list[Value | None]:
    """Cotangent of each of `wrt`, given those of `results` (same types, in order).

    `wrt` may be params or results of nodes; nothing is derived, or rewritten, behind them.  None
    where no result depends on it by a differentiable route.
    """
    report = Report("derivative")
    with paused():
        made = gradient(defined(results, wrt, report, options), cotangents, wrt)
    note(made, report.fired, report.moves)
    return made


def pushforward(
    results: Sequence[Value],
    wrt: Sequence[Value],
    along: Sequence[Value],
    options: Options = OPTIONS,
) -> list[Value | None]:
    """Tangent of each of `results` when `wrt[i]` moves along `along[i]` (same type)."""
    report = Report("derivative")
    with paused():
        made = tangents(defined(results, wrt, report, options), wrt, along)
    note(made, report.fired, report.moves)
    return made


def defined(
    results: Sequence[Value],
    wrt: Sequence[Value],
    report: Report | None = None,
    options: Options = OPTIONS,
) -> Sequence[Value]:
    """`results` as the meaning passes define them, with `wrt` as inputs.

    What is older than `wrt` cannot depend on it; of that only the part is seen which a rule of the
    meaning passes may look at, so that a derivative costs what its own part of a program costs.
    """
    nodes, free = reachable(results, stop=wrt, since=oldest(wrt))
    near, behind = _near(free)
    params = tuple(dict.fromkeys((*wrt, *behind)))
    everything = tuple(sorted((*near, *nodes), key=lambda node: node.serial))
    function = Function("differentiated", params, everything, tuple(results))
    # What changes the program that is differentiated; licences to be inexact wait for the end.
    own = replace(OPTIONS, contract=options.contract, memory_limit=options.memory_limit)
    return _defined(function, own, report).results


def _near(values: Sequence[Value]) -> tuple[set[Node], list[Value]]:
    """Nodes at most `SIGHT` steps behind `values`, and the values that those read from beyond."""
    near: set[Node] = set()
    edge: Sequence[Value] = values
    for _ in range(SIGHT):
        found = {value.node for value in edge if value.node is not None} - near
        near |= found
        edge = [operand for node in found for operand in node.operands]
    read = dict.fromkeys([*values, *(operand for node in near for operand in node.operands)])
    return near, [value for value in read if value.node not in near]


def _defined(function: Function, options: Options, report: Report | None = None) -> Function:
    """The function and its regions after the meaning passes; only plain calls are inlined."""

    def with_defined_regions(node: Node) -> Sequence[Value] | None:
        regions = tuple(_defined(region, options) for region in node.regions)
        if all(new is old for new, old in zip(regions, node.regions, strict=True)):
            return None
        where = node.locations
        made = apply(node.op, node.operands, node.attrs, regions=regions, locations=where)
        return made.results

    function = Sweep(inline.calls(function, options)).run(with_defined_regions)
    return run_passes(function, BEFORE, options, report)
