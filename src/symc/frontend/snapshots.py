"""`sc.checkpoints`: how many states of a loop reverse mode may remember.

before: a number of states, or of bytes.  after: a budget, from which a loop computes the slots that
its snapshots have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from symc.ir.dims import Size, maximum, minimum, prove_le
from symc.ir.errors import DomainError, message
from symc.ir.locations import here
from symc.ir.types import TensorType
from symc.records import dataclass

_WORKING: Final = 5  # states that a step works on


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """A budget, made by `checkpoints`: one of the two is given.

    The states that a step itself works on count too, where there is room for more: the one that is
    current, the next one, their cotangents.
    """

    max_snapshots: int | None
    max_bytes: int | None

    def slots(self, state: Sequence[TensorType], title: str) -> Size:
        """How many states may be remembered, the first one among them.

        DomainError when not even one fits.
        """
        states = self._states(state, title)
        return states - minimum(_WORKING, states // 4)

    def _states(self, state: Sequence[TensorType], title: str) -> Size:
        if self.max_snapshots is not None:
            return self.max_snapshots
        assert self.max_bytes is not None
        bytes: Size = 0
        for type in state:
            bytes = bytes + type.bytes
        if isinstance(bytes, int) and self.max_bytes < bytes:
            raise DomainError(
                message(
                    f"{title}: checkpoints: max_bytes",
                    got=self.max_bytes,
                    expected=f"one state of the loop at least, which has {bytes} bytes",
                    where=here(),
                )
            )
        size = bytes if prove_le(1, bytes) else maximum(1, bytes)
        return maximum(1, self.max_bytes // size)


def checkpoints(*, max_snapshots: int | None = None, max_bytes: int | None = None) -> Checkpoints:
    """Reverse mode through a loop remembers few of its states, and runs the steps between again.

    `max_snapshots`: how many states at a time, the first one among them; or `max_bytes`: as many as
    fit.  With s of them, n steps are run at most r times each, where (s + r)! / (s! r!) >= n, and
    once more inside their adjoints: six times each for a million steps with s = 50.

    DomainError unless one of the two is given, and is 1 or more.
    """
    given = [x for x in (max_snapshots, max_bytes) if x is not None]
    if len(given) != 1:
        raise DomainError(
            message(
                "checkpoints",
                got=f"max_snapshots={max_snapshots}, max_bytes={max_bytes}",
                expected="one of the two",
                where=here(),
            )
        )
    (number,) = given
    if type(number) is not int or number < 1:
        raise DomainError(
            message("checkpoints", got=repr(number), expected="an int >= 1", where=here())
        )
    return Checkpoints(max_snapshots, max_bytes)
