"""The order of instructions within a block: what waits longest first, few values alive.

before: straight-line vector instructions as text, each on values that stand before it.
after: the same instructions without those that nothing uses, in an order that a CPU of limited
lookahead likes: independent chains of dependent steps take turns.

Invariants: no memory is touched and nothing traps, so every order that respects uses is right; the
result depends on the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

ALIVE: Final = 16  # values kept at once: some go to the stack, which costs less than waiting
FEW, MANY = 24, 400  # instructions
LATENCY: Final = {"fadd": 3, "fsub": 3, "fmul": 4, "fdiv": 11, "llvm.fma": 4, "llvm.sqrt": 15}

_NAME = re.compile(r"%[\w.]+")
_CALLED = re.compile(r"@(llvm\.[a-z]+)")


def _latency(text: str) -> int:
    """Cycles from an instruction's operands to its result, about."""
    called = _CALLED.search(text)
    return LATENCY.get(called[1] if called else text.split(None, 1)[0], 1)


def _once(lines: Sequence[str], results: Collection[str]) -> list[tuple[str, str]]:
    """Names and texts of the instructions, those of equal text merged unless they are results."""
    pieces: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for line in lines:
        name, text = line.strip().split(" = ", 1)
        text = _NAME.sub(lambda m: renamed.get(m[0], m[0]), text)
        if text in first and name not in results:
            renamed[name] = first[text]
            continue
        first.setdefault(text, name)
        pieces.append((name, text))
    return pieces


class _Block:
    """The instructions that count, numbered; what each needs and which need it."""

    def __init__(self, lines: Sequence[str], results: Collection[str]) -> None:
        pieces = _once(lines, results)
        number = {name: i for i, (name, _) in enumerate(pieces)}
        self.lines = [f"  {name} = {text}" for name, text in pieces]
        self.needs: list[list[int]] = []
        for _, text in pieces:
            names = dict.fromkeys(_NAME.findall(text))
            self.needs.append([number[name] for name in names if name in number])
        self.users: list[list[int]] = [[] for _ in pieces]
        self.height = [0] * len(pieces)
        self.wanted = [name in results for name, _ in pieces]
        self.latency = [_latency(text) for _, text in pieces]
        for i in reversed(range(len(pieces))):
            if not (self.users[i] or self.wanted[i]):
                continue
            below = max((self.height[user] for user in self.users[i]), default=0)
            self.height[i] = self.latency[i] + below
            for needed in self.needs[i]:
                self.users[needed].append(i)
        self.counted = [i for i in range(len(pieces)) if self.users[i] or self.wanted[i]]

    def ordered(self) -> list[str]:
        """One instruction a cycle: of those whose operands are there, the one most waits for."""
        missing = [len(needs) for needs in self.needs]
        left = [len(users) + wanted for users, wanted in zip(self.users, self.wanted, strict=True)]
        ready = [i for i in self.counted if not missing[i]]
        known = [0] * len(self.lines)
        order, alive, cycle = [], 0, 0

        def rank(i: int) -> tuple[bool, bool, int, int]:
            grows = not any(left[needed] == 1 for needed in self.needs[i])
            return (grows and alive >= ALIVE, known[i] > cycle, -self.height[i], i)

        while ready:
            best = min(ready, key=rank)
            ready.remove(best)
            order.append(best)
            cycle = max(cycle, known[best]) + 1
            alive += 1
            for needed in self.needs[best]:
                left[needed] -= 1
                alive -= not left[needed]
            for user in self.users[best]:
                missing[user] -= 1
                known[user] = max(known[user], cycle - 1 + self.latency[best])
                if not missing[user]:
                    ready.append(user)
        return [self.lines[i] for i in order]


def ordered(lines: Sequence[str], results: Collection[str]) -> list[str]:
    """Instructions that lead to the registers `results`, reordered if that is worth it.

    More than one block, or very few or many instructions, stay as they are.
    """
    if not FEW <= len(lines) <= MANY or not all(" = " in line for line in lines):
        return list(lines)
    if any(" = phi " in line for line in lines):
        return list(lines)
    return _Block(lines, results).ordered()
