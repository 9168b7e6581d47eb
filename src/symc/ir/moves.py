"""What passes did to loops, recorded as they do it: for the report, never read by a pass.

before: a loop that a pass takes apart.  after: one `Move` for each thing that left it, was merged
into it or was put in another form; `compile/loop_report.py` makes text and sizes of them.

The place of a loop is the `Location` object of the node: every call of the user's has one of its
own, and all that is made of the loop (its derivatives, copies, the loop it is merged into) hands it
on.  So the object tells two loops of one line apart, and equality does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from symc.ir.core import Node, Value
from symc.ir.dims import Size
from symc.ir.locations import Location
from symc.records import dataclass

# Computed once before the loop; for all steps at once before it, or after it; as one sum over the
# steps after it; of only the last rows, after it.
CONSTANT: Final = "constant"
BEFORE: Final = "before"
AFTER: Final = "after"
SUM: Final = "sum"
ROWS: Final = "rows"
# Contractions of a step made one; a contraction of a step made two; another loop made part of this.
JOINED: Final = "joined"
SPLIT: Final = "split"
MERGED: Final = "merged"
# The loop is no more: it runs once, or nothing was left in it.
ONCE: Final = "once"
GONE: Final = "gone"


@dataclass(slots=True)
class Move:
    """One thing done to a loop.

    value: of a step, what moved; `stops`: the values of a step that it reads where it stands now.
    made: what was made outside, by nodes numbered from `since` on; None: nothing.
    memory: bytes of arrays that are kept because of it.  depth: how many rows are kept, for `ROWS`.
    other: the place of the loop that was merged into this.  names: of params that `made` reads, for
    what is made inside of a step.
    """

    kind: str
    loop: Location
    reverse: bool
    value: Value | None = None
    stops: tuple[Value, ...] = ()
    made: Value | None = None
    since: int = 0
    memory: Size = 0
    depth: int = 0
    other: Location | None = None
    names: Mapping[Value, str] | None = None

    def became(self, made: Value, since: int, memory: Size) -> None:
        """Fill in what stands outside of the loop now."""
        self.made, self.since, self.memory = made, since, memory


Note = Callable[[Move], None]


def place(node: Node) -> Location:
    """The place of a loop."""
    return node.locations[0]
