"""Whole programs through the compiler, bit for bit against the oracle on the defined program."""

import random

import numpy as np
import pytest

import symc as sc
from symc.ir.evaluate import evaluate

X, Y = np.random.default_rng(0).normal(size=(2, 4, 5))
W = np.random.default_rng(1).normal(size=(5, 6))


def agrees(fn, *arrays):
    """Run `fn` compiled (contractions in chain order) and on the oracle; equal bits."""
    compiled = sc.jit(fn, contract="chain")
    got = compiled(*arrays)
    entry = compiled.current.traced.entry
    defined = compiled.current.compiled.stages.defined.function
    want = evaluate(defined, [*arrays, *entry.constants], order="chain")
    for one, other in zip(got if isinstance(got, tuple) else (got,), want, strict=True):
        np.testing.assert_array_equal(one, other)


# A value, and uses of it: some kernels read a part of it only, while others need all.
VALUES = {
    "sum": lambda x, y, w: x + y,
    "product": lambda x, y, w: x @ w,
    "softmax": lambda x, y, w: sc.softmax(x + y, axis=1),
    "row sums": lambda x, y, w: sc.sum(x * y, axis=1, keepdims=True),
}
USES = {
    "roll": lambda z: sc.roll(z, 1, axis=0),
    "halves": lambda z: (z[:3] * 2, sc.sum(z[3:])),
    "overlapping rows": lambda z: (z[:3] * 2, z[1:] + 1),
    "rows and all": lambda z: (z[:3] * 2, z, z.T),
    "rows and total": lambda z: (z[:3] * 2, z[2:] * 3, sc.sum(z)),
    "columns": lambda z: (z[:, :3] * 2, sc.sum(z, axis=0)),
    "pieces": lambda z: sc.concat([z[:2], z[1:], -z], axis=0),
    "one part twice": lambda z: (z[:3] * 2, z[:3] + X[:3, :1], z[1:]),
    "product of a part": lambda z: (z[:3].T @ X[:3], z.T @ X),
}


@pytest.mark.parametrize("value", sorted(VALUES))
@pytest.mark.parametrize("use", sorted(USES))
def test_values_read_in_part(value, use):
    agrees(lambda x, y, w: USES[use](VALUES[value](x, y, w)), X, Y, W)


ON_ALL = [
    sc.tanh,
    sc.exp,
    sc.abs,
    lambda x: x * x,
    lambda x: -x,
    lambda x: sc.where(x > 0, x, 0.5),
    lambda x: x.T,
    lambda x: x[..., :-1],
    lambda x: x[1:],
    lambda x: sc.sum(x, axis=-1, keepdims=True),
    lambda x: sc.roll(x, 1, axis=0),
    lambda x: sc.flip(x, axis=-1),
    lambda x: sc.concat([x, x], axis=0),
    lambda x: x.astype("f32").astype("f64"),
]
NOT_ON_EMPTY = [
    lambda x: sc.max(x, axis=0, keepdims=True),
    lambda x: x.at[0].set(1.0),
    lambda x: x.at[np.array([0, 0])].add(0.5),
    lambda x: sc.softmax(x, axis=-1),
    lambda x: sc.take(x, np.array([0, -1, 0]), axis=0),
]
STEPS = [*ON_ALL, *NOT_ON_EMPTY]


def random_program(x, y, choices):
    """A chain of steps over earlier values, some added or multiplied to others where they fit."""
    pool = [x, y]
    for number, (first, second, step) in enumerate(choices):
        a, b = pool[first % len(pool)], pool[second % len(pool)]
        made = STEPS[step % len(ON_ALL) if 0 in a.shape else step](a)
        try:
            if number % 3 == 0:
                made = made + b
            if number % 5 == 4:
                made = made @ b
        except sc.ShapeError:
            pass
        pool.append(made)
    return pool[-1], pool[-2]


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed):
    source = random.Random(seed)
    count = source.randrange(3, 12)
    choices = [tuple(source.randrange(99) for _ in range(3)) for _ in range(count)]
    choices = [(i, j, k % len(STEPS)) for i, j, k in choices]
    shape = source.choice([(4, 5), (3, 3), (2, 6), (7, 3)])
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=shape), rng.normal(size=source.choice([shape, (1, shape[1])]))
    agrees(lambda x, y: random_program(x, y, choices), x, y)
