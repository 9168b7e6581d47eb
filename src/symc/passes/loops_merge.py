"""Loops that run the same steps become one.

before: scans of equal length and direction, none of which needs a result of another.  after: one
scan with the operands of all.  Work that they share is done once: carries that start alike and are
changed alike are one carry (found by assuming that all which start alike are, and taking back what
a step contradicts).  A loop and its own tangent or residual pass share all that the first computes.

Bits: unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from symc.ir import ops
from symc.ir.core import Function, Node, Value
from symc.ir.ops.loop_groups import groups
from symc.passes.loops_form import Carry, Loop, Row
from symc.passes.merging import behind as behind_of
from symc.passes.merging import settled

MOST: Final = 64  # loops of one function that are compared with each other


def mergeable(function: Function) -> list[list[Node]]:
    """Sets of scans that can become one: same steps, and no path from one to another."""
    scans = [node for node in function.nodes if node.op is ops.SCAN][:MOST]
    if len(scans) < 2:
        return []
    behind = behind_of(function, scans)
    sets: list[list[Node]] = []
    for node in scans:
        for chosen in sets:
            same = all(_same_steps(node, other) for other in chosen)
            apart = not any(_leads(behind, node, other, scans) for other in chosen)
            if same and apart and not _round_about(behind, node, chosen, sets, scans):
                chosen.append(node)
                break
        else:
            sets.append([node])
    return [chosen for chosen in sets if len(chosen) > 1]


def _same_steps(left: Node, right: Node) -> bool:
    a, b = groups(left), groups(right)
    return a.length == b.length and a.reverse == b.reverse


def _leads(behind: dict[Node, int], left: Node, right: Node, scans: Sequence[Node]) -> bool:
    """Whether one of two scans depends on the other."""
    i, j = 1 << scans.index(left), 1 << scans.index(right)
    return bool(behind[left] & j or behind[right] & i)


def _round_about(
    behind: dict[Node, int],
    node: Node,
    chosen: Sequence[Node],
    sets: Sequence[Sequence[Node]],
    scans: Sequence[Node],
) -> bool:
    """Whether joining would close a circle through another merged set."""

    def bits(row: Sequence[Node]) -> tuple[int, int]:
        own = sum(1 << scans.index(n) for n in row)
        needs = 0
        for n in row:
            needs |= behind[n]
        return own, needs

    own, needs = bits([*chosen, node])
    for other in sets:
        if other is chosen or len(other) < 2:
            continue
        theirs, wanted = bits(other)
        if needs & theirs and wanted & own:
            return True
    return False


def joined(loops: Sequence[Loop]) -> Loop:
    """One loop that does the work of all."""
    first = loops[0]
    number = Value(first.number.type, name=first.number.name)
    made = Loop(first.node, first.length, first.reverse, number)
    fixed: dict[Value, Value] = {}
    for loop in loops:
        fixed[loop.number] = number
        for group, own in ((made.consts, loop.consts), (made.xs, loop.xs)):
            by_operand = {operand: param for param, operand in group.items()}
            for param, operand in own.items():
                if operand not in by_operand:
                    by_operand[operand] = Value(param.type, name=param.name)
                    group[by_operand[operand]] = operand
                fixed[param] = by_operand[operand]
    carries = [carry for loop in loops for carry in loop.carries]
    classes, values = settled(loops, carries, fixed)
    for loop in loops:
        counts = loop.counts.items()
        made.counts.update({dim: values.get(count, count) for dim, count in counts})
    _fill(made, loops, carries, classes, values)
    return made


def _fill(
    made: Loop,
    loops: Sequence[Loop],
    carries: Sequence[Carry],
    classes: Sequence[int],
    values: dict[Value, Value],
) -> None:
    """One carry per class, one y per value; `also` names further readers of a result."""
    of_class: dict[int, Carry] = {}
    for carry, number in zip(carries, classes, strict=True):
        if number not in of_class:
            after = values.get(carry.after, carry.after)
            of_class[number] = Carry(values[carry.param], carry.start, after, None)
            made.carries.append(of_class[number])
        _read(made, of_class[number], carry.result)
    of_value: dict[Value, Row] = {}
    for row in (row for loop in loops for row in loop.ys):
        value = values.get(row.value, row.value)
        if value not in of_value:
            of_value[value] = Row(value, None)
            made.ys.append(of_value[value])
        _read(made, of_value[value], row.result)


def _read(made: Loop, row: Carry | Row, result: Value | None) -> None:
    if result is None:
        return
    if row.result is None:
        row.result = result
    elif row.result is not result:
        made.also[result] = row.result
