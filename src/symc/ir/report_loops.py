"""What the report says of loops, as data that tests assert on.

Sizes are numbers where all sizes of the program are known, else expressions of its named sizes;
both compare with `==` and print as what they are.
"""

from __future__ import annotations

from symc.ir.dims import Size
from symc.ir.locations import Location
from symc.records import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Arithmetic operations, and bytes that have to be read and written.

    Bytes are what no fusion can save: each array that the work reads or leaves behind, once.
    """

    flops: Size = 0
    bytes: Size = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def times(self, count: Size) -> Work:
        """The same, so many times."""
        return Work(self.flops * count, self.bytes * count)

    def __str__(self) -> str:
        return f"{self.flops} operations, {self.bytes} bytes"


@dataclass(frozen=True, slots=True)
class Product:
    """A contraction: `batch` products of m x k and k x n matrices; a vector counts as one row.

    loop: the number of the loop in whose steps it stands, None outside of loops.  after: numbers of
    the loops that it needs results of; before: of those that need its result.
    """

    value: str
    location: Location
    batch: Size
    m: Size
    n: Size
    k: Size
    loop: int | None = None
    after: tuple[int, ...] = ()
    before: tuple[int, ...] = ()

    @property
    def flops(self) -> Size:
        """Multiplications and additions of one run."""
        return 2 * self.batch * self.m * self.n * self.k

    @property
    def shape(self) -> str:
        """The matrices as text: `[m, k] @ [k, n]`."""
        often = "" if self.batch == 1 else f"{self.batch} of "
        return f"{often}[{self.m}, {self.k}] @ [{self.k}, {self.n}]"


@dataclass(frozen=True, slots=True)
class Moved:
    """Work that left a loop, or was put in another form (`kind`: see `ir/moves.py`).

    value: what was made of it, with its contractions in `products`; work: what that costs, for all
    steps together; memory: bytes of arrays that are kept because of it; rows: how many are kept.
    """

    kind: str
    value: str
    location: Location
    products: tuple[Product, ...]
    work: Work
    memory: Size
    rows: int


@dataclass(frozen=True, slots=True)
class Link:
    """One value on a dependence path: its expression, its operation ("" for a carry), its line."""

    value: str
    op: str
    location: Location


@dataclass(frozen=True, slots=True)
class Stayed:
    """Work of a step that no pass moved out of its loop, and why.

    carries: all that it depends on.  path: the dependences that keep it, from a carry (as the step
    before left it) to the operation, and on to the carry that it changes; to a y when no carry
    needs it.  reason: "carry" (every step needs the one before), "rows" (a carry is needed, and
    keeping what the work reads would take too much memory), "memory" (nothing but the memory that
    its values for all steps would take), "cheap" (less work than to store and load it) or
    "control" (a loop or a choice).
    """

    value: str
    location: Location
    carries: tuple[str, ...]
    path: tuple[Link, ...]
    reason: str
    work: Work


@dataclass(frozen=True, slots=True)
class Kept:
    """A value of the step of which the loop keeps the rows of all steps: their bytes."""

    value: str
    location: Location
    rows: Size
    bytes: Size


@dataclass(frozen=True, slots=True)
class LoopReport:
    """A loop of the compiled program.

    before, after: operations of a step as traced and as compiled; step_before, step: their work.
    whole_before, whole: that of all steps, the second with what was moved out (of one step where
    the number of steps is not known).  moved: what left it; merged: the other loops that it does
    the work of.  products: the contractions of a step.  kept: the rows that it stores; memory:
    bytes of arrays that are there because work moved.  stayed: operations of a step that are more
    than a few instructions; rest: all others but views.  form: "registers" (its whole state lies in
    registers) or "kernels" (`kernels` of them in a step); both are one native function.  inside:
    the number of the loop in whose steps it runs.
    """

    kind: str
    name: str
    location: Location
    length: str
    reverse: bool
    inside: int | None
    carries: int
    before: int
    after: int
    step_before: Work
    step: Work
    whole_before: Work
    whole: Work
    moved: tuple[Moved, ...]
    merged: tuple[Location, ...]
    products: tuple[Product, ...]
    kept: tuple[Kept, ...]
    memory: Size
    stayed: tuple[Stayed, ...]
    rest: tuple[Stayed, ...]
    form: str
    kernels: int


@dataclass(frozen=True, slots=True)
class Vanished:
    """A loop that is not in the compiled program: why ("once" or "gone"), and where its work is."""

    location: Location
    reverse: bool
    reason: str
    moved: tuple[Moved, ...]
