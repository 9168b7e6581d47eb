"""Apply a rule set to a function until nothing fires."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from symc.ir.core import Function, Node, Value
from symc.ir.options import Options
from symc.passes.pattern import Match, Rule, RuleSet
from symc.passes.sweep import Sweep

Fired = Callable[[Rule, Match, Value], None]

# A rule table whose rows undo each other would loop; well-formed tables settle in 3 sweeps.
_SWEEPS = 20


def rewrite(
    function: Function, rules: RuleSet, options: Options, fired: Fired | None = None
) -> Function:
    """`function` with the rules applied, sweep after sweep, until one changes nothing."""

    opaque = frozenset(function.params)

    def visit(node: Node) -> Sequence[Value] | None:
        if len(node.results) != 1:
            return None
        found = rules.first(node, options.licences, opaque)
        if found is None:
            return None
        rule, match = found
        made = match.finished(rule.right(match)).value
        if fired is not None:
            fired(rule, match, made)
        return (made,)

    for _ in range(_SWEEPS):
        after = Sweep(function).run(visit)
        if after is function:
            break
        function = after
    return function
