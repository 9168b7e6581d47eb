"""Apply a rule set to a function until nothing fires.

The first sweep asks about every node; each later one only about nodes near what the sweep before it
made: as far above that as the deepest pattern looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from symc.ir.core import Function, Node, Value
from symc.ir.options import Options
from symc.passes.pattern import Match, Rule, RuleSet
from symc.passes.sweep import Sweep
from symc.passes.uniform import transparent

Fired = Callable[[Rule, Match, Value], None]

# A rule table whose rows undo each other would loop; well-formed tables settle in a few sweeps.
_SWEEPS: Final = 20
# Guards look a little further than patterns.
_BEYOND: Final = 3


class _Nearness:
    """How many nodes, views aside, lie between each value and what the last sweep made below it."""

    def __init__(self, function: Function, fresh: set[Value] | None, farthest: int) -> None:
        self.fresh = fresh
        self.farthest = farthest
        self.distance = {x: 0 if fresh and x in fresh else farthest for x in function.params}

    def reaches(self, node: Node) -> bool:
        """Whether a pattern at `node` can see anything new; to be asked in program order."""
        if self.fresh is None:
            return True
        if not self.fresh.isdisjoint(node.results):
            found = 0
        else:
            known = self.distance.get
            found = min([known(operand, 0) for operand in node.operands], default=self.farthest)
            if not transparent(node):
                found = min(found + 1, self.farthest)
        for result in node.results:
            self.distance[result] = found
        return found < self.farthest


def rewrite(
    function: Function, rules: RuleSet, options: Options, fired: Fired | None = None
) -> Function:
    """`function` with the rules applied, sweep after sweep, until one changes nothing."""
    opaque = frozenset(function.params)
    licences = options.licences
    fresh: set[Value] | None = None
    for _ in range(_SWEEPS):
        near = _Nearness(function, fresh, rules.depth + _BEYOND)

        def visit(node: Node, near: _Nearness = near) -> Sequence[Value] | None:
            if not near.reaches(node) or len(node.results) != 1:
                return None
            found = rules.first(node, licences, opaque)
            if found is None:
                return None
            rule, match = found
            made = match.finished(rule.right(match)).value
            if fired is not None:
                fired(rule, match, made)
            return (made,)

        sweep = Sweep(function)
        after = sweep.run(visit)
        if after is function:
            break
        function, fresh = after, sweep.fresh
    return function
