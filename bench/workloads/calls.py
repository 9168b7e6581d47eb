"""The cost of a call: `x*2+1` on f32[8]."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.case import Case
from bench.peers import installed


def cases(threads: int) -> Iterator[Case]:
    import symc as sc

    data = np.arange(8, dtype=np.float32)
    x = sc.var("x", "f32[8]")
    checked = sc.function([x], x * 2 + 1, threads=threads)
    trusted = sc.function([x], x * 2 + 1, threads=threads, trust_input=True)
    jitted = sc.jit(lambda x: x * 2 + 1, threads=threads)
    peers = {"numpy": lambda: data * 2 + 1}
    if "numba" in installed():
        import numba

        compiled = numba.njit(lambda x: x * np.float32(2) + np.float32(1))
        peers["numba"] = lambda: compiled(data)
    if "jax" in installed():
        import jax

        theirs = jax.jit(lambda x: x * 2 + 1)
        array = jax.numpy.array(data)
        peers["jax"] = lambda: theirs(array)
    yield Case("call, trust_input", {"symc": lambda: trusted(data)} | peers, limit=0.3e-6)
    yield Case("call, checked", {"symc": lambda: checked(data)} | peers, limit=0.5e-6)
    yield Case("call through jit", {"symc": lambda: jitted(data)} | peers, limit=0.7e-6)
