"""Where the boxes of a picture stand: layers from the top down, few crossings, short arrows.

before: sizes of boxes and pairs of numbers.  after: the middle of each box, and the points that
each arrow passes.

A box stands one layer below the lowest of its sources (sources themselves one above their first
target); an arrow over several layers has a point in each; layers are ordered by the mean place of
their neighbours, swept down and up a few times; places along a layer move towards the neighbours.

Invariants: an arrow leads from a higher layer to a lower one; boxes of one layer do not overlap; no
recursion; the time is near linear in boxes and points.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from symc.records import dataclass

GAP: Final = 18.0  # between boxes of a layer
STEP: Final = 44.0  # between layers
_THIN: Final = 8.0  # the width of a point of a long arrow
_SWEEPS: Final = 4
_LONG: Final = 40_000  # points of long arrows beyond which those go straight

Point = tuple[float, float]
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Middles of boxes, points of arrows (source, bends, target), and the whole size."""

    middles: list[Point]
    routes: list[list[Point]]
    width: float
    height: float


def place(sizes: Sequence[Point], pairs: Sequence[Pair]) -> Layout:
    """Place boxes of the given widths and heights, joined by `pairs` (which have no cycle)."""
    levels = _levels(len(sizes), pairs)
    points = _Points(list(sizes), levels)
    routes = points.chains(pairs)
    layers = points.layers()
    above, below = points.neighbours(routes)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        _order(layers if down else layers[::-1], above if down else below)
    xs = _columns(layers, points.widths, above, below)
    ys = _rows(layers, points.heights)
    left = min((xs[i] - points.widths[i] / 2 for i in range(len(xs))), default=0.0)
    right = max((xs[i] + points.widths[i] / 2 for i in range(len(xs))), default=0.0)
    where = [
        (x - left + GAP, ys[levels_of]) for x, levels_of in zip(xs, points.levels, strict=True)
    ]
    height = ys[-1] + max((h for _, h in sizes), default=0.0) / 2 + GAP if ys else 2 * GAP
    return Layout(
        middles=where[: len(sizes)],
        routes=[[where[i] for i in route] for route in routes],
        width=right - left + 2 * GAP,
        height=height,
    )


def _levels(count: int, pairs: Sequence[Pair]) -> list[int]:
    """The layer of each box: below all sources; boxes without sources just above a target."""
    targets: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in pairs:
        targets[source].append(target)
        waiting[target] += 1
    first = [number for number in range(count) if not waiting[number]]
    levels = [0] * count
    ready = deque(first)
    while ready:
        number = ready.popleft()
        for target in targets[number]:
            levels[target] = max(levels[target], levels[number] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for number in first:
        if targets[number]:
            levels[number] = min(levels[target] for target in targets[number]) - 1
    return levels


class _Points:
    """Boxes, and after them the bends of long arrows."""

    def __init__(self, sizes: list[Point], levels: list[int]) -> None:
        self.widths = [width for width, _ in sizes]
        self.heights = [height for _, height in sizes]
        self.levels = list(levels)

    def chains(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """The points of each arrow; one per layer between its ends."""
        spans = sum(max(self.levels[b] - self.levels[a] - 1, 0) for a, b in pairs)
        routes = []
        for source, target in pairs:
            route = [source]
            if spans <= _LONG:
                for level in range(self.levels[source] + 1, self.levels[target]):
                    route.append(len(self.levels))
                    self.levels.append(level)
                    self.widths.append(_THIN)
                    self.heights.append(0.0)
            routes.append([*route, target])
        return routes

    def layers(self) -> list[list[int]]:
        """The points of each layer."""
        found: list[list[int]] = [[] for _ in range(max(self.levels, default=-1) + 1)]
        for point, level in enumerate(self.levels):
            found[level].append(point)
        return found

    def neighbours(
        self, routes: Sequence[Sequence[int]]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """For each point, those that it is joined to in the layers above and below."""
        above: list[list[int]] = [[] for _ in self.levels]
        below: list[list[int]] = [[] for _ in self.levels]
        for route in routes:
            for upper, lower in pairwise(route):
                below[upper].append(lower)
                above[lower].append(upper)
        return above, below


def _order(layers: Sequence[list[int]], towards: Sequence[Sequence[int]]) -> None:
    """Sort each layer by the mean place of its neighbours in the layer before."""
    places: dict[int, float] = {}
    for layer in layers:
        mean = {
            point: sum(places.get(n, place) for n in towards[point]) / len(towards[point])
            if towards[point]
            else float(place)
            for place, point in enumerate(layer)
        }
        layer.sort(key=mean.__getitem__)
        places.update((point, float(place)) for place, point in enumerate(layer))


def _columns(
    layers: Sequence[Sequence[int]],
    widths: Sequence[float],
    above: Sequence[Sequence[int]],
    below: Sequence[Sequence[int]],
) -> list[float]:
    """The horizontal place of each point."""
    xs = [0.0] * len(widths)
    for layer in layers:
        at = 0.0
        for point in layer:
            xs[point] = at + widths[point] / 2
            at += widths[point] + GAP
        shift = at / 2
        for point in layer:
            xs[point] -= shift
    for sweep in range(2 * _SWEEPS):
        towards = above if sweep % 2 == 0 else below
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = [
                sum(xs[n] for n in towards[p]) / len(towards[p]) if towards[p] else xs[p]
                for p in layer
            ]
            _fit(layer, wanted, widths, xs)
    return xs


def _fit(
    layer: Sequence[int], wanted: Sequence[float], widths: Sequence[float], xs: list[float]
) -> None:
    """Move a layer's points to where they want to be, apart from each other, in their order.

    The mean of the places that pushing right and pushing left give.
    """
    right, left = list(wanted), list(wanted)
    for i in range(1, len(layer)):
        apart = (widths[layer[i - 1]] + widths[layer[i]]) / 2 + GAP
        right[i] = max(right[i], right[i - 1] + apart)
    for i in range(len(layer) - 2, -1, -1):
        apart = (widths[layer[i]] + widths[layer[i + 1]]) / 2 + GAP
        left[i] = min(left[i], left[i + 1] - apart)
    for point, a, b in zip(layer, left, right, strict=True):
        xs[point] = (a + b) / 2


def _rows(layers: Sequence[Sequence[int]], heights: Sequence[float]) -> list[float]:
    """The vertical place of each layer."""
    ys: list[float] = []
    at = GAP
    for layer in layers:
        tall = max((heights[point] for point in layer), default=0.0)
        ys.append(at + tall / 2)
        at += tall + STEP
    return ys
