"""Random nests against the oracle: views, guards, gathers, several reducers, symbolic sizes."""

import os

import numpy as np
import pytest

from codegen_llvm.nest_maker import agree, body, numbers, operand
from symc.ir.affine import Affine, IndexMap
from symc.ir.dims import symbol
from symc.ir.nest import Gather, Load, MapStage, Nest, Store
from symc.ir.ops import OPS

COUNT = int(os.environ.get("SYMC_RANDOM_NESTS", "40"))
SIZES = (0, 1, 1, 2, 3, 5, 8, 9, 16, 17, 31, 64, 70)
DTYPES = ("f4", "f4", "f8", "i4", "i8", "?")
REDUCERS = {"f": ("sum", "max", "min", "prod"), "i": ("sum", "max", "argmax"), "b": ("any", "all")}


class Maker:
    """Draws one nest of a single stage, and arrays for it."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.operands = []
        self.arrays = []
        rank = int(self.rng.integers(1, 5))
        while True:
            self.sizes = [int(self.rng.choice(SIZES)) for _ in range(rank)]
            if np.prod(self.sizes) <= 20_000:
                break
        self.outer = int(self.rng.integers(0, rank + 1))
        self.symbolic = [bool(self.rng.random() < 0.3) for _ in range(rank)]
        self.names = [f"d{i}" for i, s in enumerate(self.symbolic) if s]
        self.dims = {f"d{i}": self.sizes[i] for i, s in enumerate(self.symbolic) if s}
        self.shape = [
            symbol(f"d{i}") if s else size
            for i, (s, size) in enumerate(zip(self.symbolic, self.sizes, strict=True))
        ]

    def pick(self, items):
        return items[int(self.rng.integers(len(items)))]

    def add(self, dtype, shape, sizes, role, array=None):
        self.operands.append(operand(f"o{len(self.operands)}", dtype, shape, role))
        values = numbers(self.rng, dtype, tuple(sizes)) if array is None else array
        self.arrays.append(values)
        return len(self.operands) - 1

    def unit(self, axis, factor=1, offset=0):
        factors = [0] * len(self.sizes)
        factors[axis] = factor
        return Affine(tuple(factors), offset)

    def load(self):
        """A read of permuted axes, perhaps reversed, shifted, guarded, gathered."""
        axes = [a for a in range(len(self.sizes)) if self.rng.random() < 0.75]
        self.rng.shuffle(axes)
        dtype = self.pick(DTYPES)
        shape, sizes, indices, valid, gathers = [], [], [], [], []
        for place, axis in enumerate(axes):
            kind = self.rng.random()
            size, count = self.shape[axis], self.sizes[axis]
            if kind < 0.15:
                indices.append(self.unit(axis, -1, size - 1))
            elif kind < 0.3:
                indices.append(self.unit(axis, 1, -2))
                valid.append(place)
            elif kind < 0.4 and isinstance(size, int):
                indices.append(self.unit(axis, 2, 1))
                size, count = 2 * size + 1, 2 * count + 1
            elif kind < 0.55:
                indices.append(self.unit(axis, 0))
                gathers.append((place, axis))
                size = count = int(self.rng.integers(1, 9))
            else:
                indices.append(self.unit(axis))
            shape.append(size)
            sizes.append(count)
        number = self.add(dtype, shape, sizes, "in")
        found = tuple(self.gather(place, axis, sizes[place]) for place, axis in gathers)
        map = IndexMap(len(self.sizes), tuple(indices), tuple(valid))
        return Load(number, map, found, fill=1), dtype

    def gather(self, place, axis, size):
        mode = self.pick(("clip", "wrap", "fill", "raise"))
        span = size if self.rng.random() < 0.7 else size + 2
        dtype = self.pick(("i4", "i8"))
        index = self.rng.integers(-span, span, self.sizes[axis]).astype(dtype)
        number = self.add(dtype, (self.shape[axis],), (self.sizes[axis],), "in", index)
        return Gather(number, IndexMap(len(self.sizes), (self.unit(axis),)), place, mode)

    def mixed(self, op, values):
        """Scalar work over all loads: a value of each dtype class."""
        x = None
        for value in values:
            dtype = value.type.dtype
            y = value if dtype == np.float32 else op("cast", value, dtype=np.dtype("f4"))
            if x is None:
                x = y
            else:
                x = op(self.pick(("add", "sub", "mul", "maximum")), x, y)
            if self.rng.random() < 0.3:
                x = op(self.pick(("tanh", "neg", "abs", "floor")), x)
        return x

    def store(self, dtype):
        inner = len(self.sizes) - self.outer
        reduced = [a for a in range(inner) if self.rng.random() < 0.6]
        if self.rng.random() < 0.35:
            reduced = []
        kept = [a for a in range(len(self.sizes)) if a - self.outer not in reduced]
        self.rng.shuffle(kept)
        reducer = self.pick(REDUCERS[np.dtype(dtype).kind]) if reduced else None
        count = np.prod([self.sizes[self.outer + a] for a in reduced], dtype=int)
        if reducer in {"max", "min", "argmax"} and count == 0:
            reducer = "sum"
        result = np.int64 if reducer == "argmax" else dtype
        shape, sizes = [self.shape[a] for a in kept], [self.sizes[a] for a in kept]
        number = self.add(result, shape, sizes, "out")
        map = IndexMap(len(self.sizes), tuple(self.unit(a) for a in kept))
        if reducer is None:
            return Store(number, map)
        return Store(number, map, OPS[reducer].reducer({}), tuple(reduced))

    def nest(self):
        loads, dtypes = zip(*(self.load() for _ in range(self.rng.integers(1, 4))), strict=True)
        axes = tuple(a for a in range(len(self.sizes)) if self.rng.random() < 0.2)
        results = [self.pick(("f4", "f4", "f8", "i4", "?")) for _ in range(self.rng.integers(1, 4))]

        def build(op, *values):
            x = self.mixed(op, values)
            return [x if r == "f4" else op("cast", x, dtype=np.dtype(r)) for r in results]

        function = body([*dtypes, *["i8"] * len(axes)], build)
        stores = tuple(self.store(r) for r in results)
        inner = tuple(self.shape[self.outer :])
        stage = MapStage(inner, loads, axes, function, stores)
        outer = tuple(self.shape[: self.outer])
        return Nest("random", tuple(self.operands), outer, (stage,), tuple(self.names))


@pytest.mark.parametrize("seed", range(COUNT))
def test_random_nests(seed):
    maker = Maker(seed)
    nest = maker.nest()
    agree(nest, maker.rng, maker.dims, arrays=maker.arrays)
