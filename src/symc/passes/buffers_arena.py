"""The arena: offsets of temporaries, reused when their lifetimes do not meet.

before: requests (bytes, first step, last step) in any order.  after: an offset for each, and the
arena's size.  Sizes known now share space by best fit with merging of neighbours; a symbolic size
takes over a slot whose owner is dead and provably not smaller, else it opens a new one.

Invariants: offsets are multiples of 64; two requests whose lifetimes meet do not overlap.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import lru_cache
from heapq import heappop, heappush
from typing import Final

from symc.ir.dims import Size, prove_le
from symc.records import dataclass

ALIGN: Final = 64
TRIED: Final = 16  # free symbolic slots looked at for one request


@dataclass(frozen=True, slots=True)
class Request:
    """Space needed from step `first` to step `last`, both included."""

    bytes: Size
    first: int
    last: int


@lru_cache(maxsize=4096)
def aligned(size: Size) -> Size:
    """`size` rounded up to a multiple of the alignment."""
    return (size + (ALIGN - 1)) // ALIGN * ALIGN


class _FreeList:
    """Free intervals of the static part, by length and by end."""

    def __init__(self) -> None:
        self.top = 0
        self._sorted: list[tuple[int, int]] = []  # (length, start)
        self._start: dict[int, int] = {}  # start -> length
        self._end: dict[int, int] = {}  # end -> start

    def take(self, length: int) -> int:
        """The start of a free interval, the shortest that fits."""
        if length == 0:
            return 0
        i = bisect_left(self._sorted, (length, -1))
        if i < len(self._sorted):
            have, start = self._sorted[i]
            self._remove(start)
            if have > length:
                self._add(start + length, have - length)
            return start
        start = self.top
        if start in self._end:
            start = self._end[start]
            self._remove(start)
        self.top = start + length
        return start

    def give(self, start: int, length: int) -> None:
        """Return an interval; neighbours become one."""
        if length == 0:
            return
        if start + length in self._start:
            right = self._start[start + length]
            self._remove(start + length)
            length += right
        if start in self._end:
            left = self._end[start]
            length += self._start[left]
            self._remove(left)
            start = left
        self._add(start, length)

    def _add(self, start: int, length: int) -> None:
        self._start[start] = length
        self._end[start + length] = start
        insort(self._sorted, (length, start))

    def _remove(self, start: int) -> None:
        length = self._start.pop(start)
        del self._end[start + length]
        del self._sorted[bisect_left(self._sorted, (length, start))]


class _Slots:
    """Slots of symbolic size, stacked above the static part."""

    def __init__(self) -> None:
        self.sizes: list[Size] = []
        self._free: list[int] = []

    def take(self, size: Size) -> int:
        """A slot of at least `size`: a free one of that very size, one provably larger, or new."""
        fits = [s for s in self._free[-TRIED:] if prove_le(size, self.sizes[s])]
        slot = next((s for s in fits if self.sizes[s] == size), fits[0] if fits else None)
        if slot is None:
            self.sizes.append(size)
            return len(self.sizes) - 1
        self._free.remove(slot)
        return slot

    def give(self, slot: int) -> None:
        self._free.append(slot)


def slots(requests: Sequence[Request]) -> list[int]:
    """A slot for each request whose size is not known when a call starts: slots are memory of their
    own, and serve requests of one size one after another."""
    found = _Slots()
    numbers = [0] * len(requests)
    ending: list[tuple[int, int]] = []
    for i in sorted(range(len(requests)), key=lambda i: requests[i].first):
        while ending and ending[0][0] < requests[i].first:
            found.give(numbers[heappop(ending)[1]])
        numbers[i] = found.take(requests[i].bytes)
        heappush(ending, (requests[i].last, i))
    return numbers


def place(requests: Sequence[Request]) -> tuple[list[Size], Size]:
    """The offset of each request, and the bytes of the arena."""
    static, slots = _FreeList(), _Slots()
    where: list[int] = [0] * len(requests)
    ending: dict[int, list[int]] = {}
    last = -1
    for i in sorted(range(len(requests)), key=lambda i: requests[i].first):
        for step in range(last, requests[i].first):
            _release(requests, where, ending.pop(step, ()), static, slots)
        last = max(last, requests[i].first)
        size = aligned(requests[i].bytes)
        where[i] = static.take(size) if isinstance(size, int) else slots.take(size)
        ending.setdefault(requests[i].last, []).append(i)
    starts: list[Size] = []
    total: Size = static.top
    for size in slots.sizes:
        starts.append(total)
        total = total + size
    offsets: list[Size] = [
        where[i] if isinstance(request.bytes, int) else starts[where[i]]
        for i, request in enumerate(requests)
    ]
    return offsets, total


def _release(
    requests: Sequence[Request],
    where: Sequence[int],
    ended: Sequence[int],
    static: _FreeList,
    slots: _Slots,
) -> None:
    for i in ended:
        size = aligned(requests[i].bytes)
        if isinstance(size, int):
            static.give(where[i], size)
        else:
            slots.give(where[i])
