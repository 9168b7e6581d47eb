"""Out of memory, in a process of its own: MemoryError, states as they were, and life goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

LIMITED = """
import resource
import numpy as np
from runtime.programs import *
from symc.ir.program import BufferKind

def limit(room):
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))

def raises(call):
    try:
        call()
    except MemoryError:
        return True
    return False

code = object_code(affine())
n = 1 << 24
small = np.ones(8, F32)
"""

RESULT = """
f = callable_of(load(affine_program("n"), code))
x = np.ones(n, F32)
f(small)
limit(32 << 20)
assert raises(lambda: f(x))
assert np.all(f(small) == 3)
"""

ARENA = """
b = Builder("n")
x = b.input("n")
arena = b.buffer(BufferKind.ARENA, 0, F32, b.shape(("n",)), b.size(0))
b.arena = b.buffers[arena].bytes
b.kernel("affine", x, arena)
b.kernel("affine", arena, b.output(8), blocks=b.size(8))
f = callable_of(load(b.build(), code))
x = np.ones(n, F32)
limit(32 << 20)
assert raises(lambda: f(x))
assert np.all(f(small) == 7)
limit(256 << 20)
assert np.all(f(x) == 7)
"""

STATE = """
w = State(np.zeros(n, F32), "w")
b = Builder("n")
s = b.state("n")
b.kernel("affine", s, b.staged(s))
f = callable_of(load(b.build(), code, [w]), structure=2)
limit(32 << 20)
assert raises(f)
assert not w.get(copy=False).any()
assert raises(lambda: w.get())
assert raises(lambda: State(np.broadcast_to(F32.type(0), n), "another"))
limit(256 << 20)
f()
assert np.all(w.get(copy=False) == 1)
"""

SCRATCH = """
import dataclasses
program = affine_program("n", cost=100_000)
room = SizeExpr(SizeOp.CONST, 1 << 26)
kernel = dataclasses.replace(program.code[0], scratch=len(program.sizes))
program = dataclasses.replace(program, sizes=(*program.sizes, room), code=(kernel,))
f = callable_of(load(program, code))
limit(32 << 20)
assert raises(lambda: f(small))
limit(100 << 20)  # enough for the caller, not for workers: they leave the work to it
assert np.all(f(small) == 3)
"""

SWEEP = """
f = callable_of(load(affine_program("n"), code))
failed = 0
for room in range(0, 1 << 21, 1 << 15):
    limit(room)
    for k in range(10, 20):
        x = None
        try:
            x = np.ones(1 << k, F32)
            keep = [f(x) for _ in range(8)]
            assert all(np.all(y == 3) for y in keep)
            keep = callable_of(load(affine_program("n"), code))(x)
        except MemoryError:
            failed += 1
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert failed > 0
assert np.all(f(small) == 3)
"""


@pytest.mark.parametrize("body", [RESULT, ARENA, STATE, SCRATCH, SWEEP])
def test_out_of_memory(body: str) -> None:
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED + body)],
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
