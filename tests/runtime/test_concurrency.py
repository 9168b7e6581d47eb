"""Threads, forks and Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.programs import (
    F32,
    SPIN,
    Builder,
    affine,
    affine_executable,
    affine_program,
    callable_of,
    object_code,
    state_of,
    updating,
)
from symc.ir.program import Jump
from symc.runtime.executable import load

LONG = 16_000_000_000  # 1 s, as a kernel's cost


def run_in_threads(count: int, body: object) -> None:
    """Runs `body(k)` in threads; the first exception is raised here."""
    errors: list[BaseException] = []

    def guarded(k: int) -> None:
        try:
            body(k)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("cost", [1, 2_000])
def test_one_function_in_many_threads(cost: int) -> None:
    f = callable_of(affine_executable("n", cost=cost))

    def body(k: int) -> None:
        for n in range(1, 200):
            x = np.full(n * (k + 1), k, F32)
            assert np.all(f(x) == 2 * k + 1)

    run_in_threads(8, body)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("cost", [1, 20_000])
def test_no_update_is_lost(in_place: bool, cost: int) -> None:
    w = state_of([0.0] * 50)
    code = object_code(affine().replace("2.0", "1.0"))
    program = updating("n", in_place=in_place, cost=cost)
    f = callable_of(load(program, code, [w]))
    again = callable_of(load(program, code, [w]))

    def body(k: int) -> None:
        for _ in range(50):
            old = (f, again)[k % 2]() if k < 6 else w.get()
            assert np.all(old == old[0])

    run_in_threads(8, body)
    assert np.all(w.get() == 300)


@pytest.mark.parametrize("threads", [1, 2, 3, None])
def test_bits_do_not_depend_on_threads(threads: int | None) -> None:
    x = np.random.default_rng(1).normal(size=300_000).astype(F32)
    executable = load(affine_program("n", cost=100), object_code(affine()), threads=threads)
    f = callable_of(executable)
    for _ in range(5):
        assert np.array_equal(f(x), x * 2 + 1)
    assert 1 <= f.last_stats()["threads"] <= (threads or os.cpu_count() or 1)


def test_entries_change_while_calls_run() -> None:
    f = callable_of(affine_executable("n"))
    x = np.ones(30_000, F32)

    def body(k: int) -> None:
        for _ in range(100):
            if k == 0:
                f.add_entry(affine_executable("n", cost=200), 0)
                f.remove_entry(f.entries[0])
                f.release_memory()
            else:
                assert np.all(f(x) == 3)

    run_in_threads(4, body)


def test_a_forked_child_computes() -> None:
    f = callable_of(affine_executable("n", cost=2_000))
    x = np.ones(20_000, F32)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            f(x)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(0 if np.all(f(x) == 3) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_a_child_finds_states_free() -> None:
    w = state_of([0.0] * 20_000)
    f = callable_of(load(updating("n", in_place=True, cost=2_000), object_code(affine()), [w]))
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            f()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                w.set(np.zeros(20_000, F32))
                f()
                os._exit(0 if np.all(w.get() == 1) else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def interrupt_soon() -> threading.Timer:
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


@pytest.fixture(autouse=True)
def sigint_raises() -> Iterator[None]:
    """A process started in the background by a shell ignores SIGINT, and never sees Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(call: object) -> None:
    timer = interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        call()
    timer.join()


def test_ctrl_c_stops_a_kernel_of_one_block() -> None:
    w = state_of([1, 2, 3])
    b = Builder()
    s = b.state(3)
    b.kernel("affine", s, b.staged(s))
    b.kernel("spin", b.output(3), cost=LONG, blocks=b.size(1))
    f = callable_of(load(b.build(), object_code(affine(), SPIN), [w]))
    for _ in range(2):
        interrupted(f)
        assert np.array_equal(w.get(), [1, 2, 3])


def test_ctrl_c_between_chunks() -> None:
    """Short chunks, far more than could be run: the main thread polls between them."""
    f = callable_of(affine_executable("n", cost=16_000_000))
    x = np.zeros(10, F32)
    assert np.all(f(x) == 1)
    b = Builder()
    scalar = b.input()
    y = b.output()
    b.kernel("affine", scalar, y, cost=16, blocks=b.size(1 << 50))
    endless = affine().replace("getelementptr float, ptr %b0, i64 %i", "bitcast ptr %b0 to ptr")
    endless = endless.replace("getelementptr float, ptr %b1, i64 %i", "bitcast ptr %b1 to ptr")
    g = callable_of(load(b.build(), object_code(endless)))
    interrupted(lambda: g(np.array(1, F32)))


def test_ctrl_c_in_a_loop_of_instructions() -> None:
    b = Builder()
    b.kernel("affine", b.input(3), b.output(3))
    b.code.append(Jump(0))
    f = callable_of(load(b.build(), object_code(affine())))
    interrupted(lambda: f(np.ones(3, F32)))


@pytest.mark.parametrize("in_place", [False, True])
def test_ctrl_c_in_call_n_leaves_a_completed_call(in_place: bool) -> None:
    w = state_of([0.0] * 100)
    code = object_code(affine().replace("2.0", "1.0"))
    f = callable_of(load(updating("n", in_place=in_place), code, [w]))
    interrupted(lambda: f.call_n(1 << 40))
    value = w.get()
    assert value[0] > 0
    assert np.all(value == value[0])


def test_a_signal_handler_may_call_symc() -> None:
    w = state_of([1, 2, 3])
    b = Builder()
    s = b.state(3)
    b.kernel("affine", s, b.staged(s))
    b.kernel("spin", b.output(3), cost=LONG, blocks=b.size(1))
    f = callable_of(load(b.build(), object_code(affine(), SPIN), [w]))
    other = callable_of(affine_executable("n"))
    seen: list[object] = []

    def handler(*_: object) -> None:
        seen.append(other(np.ones(2, F32)))
        w.get()  # this very call holds it: an error, not a deadlock

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Exception, match="in use by a call of this thread"):
            f()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.array_equal(seen[0], [3, 3])
    assert np.array_equal(w.get(), [1, 2, 3])


def test_other_threads_run_while_a_kernel_spins() -> None:
    b = Builder()
    b.kernel("spin", b.output(3), cost=LONG, blocks=b.size(1))
    f = callable_of(load(b.build(), object_code(SPIN)))
    ticks = []

    def tick() -> None:
        for _ in range(5):
            time.sleep(0.01)
            ticks.append(1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=tick)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        f()
    thread.join()
    assert len(ticks) == 5


def test_no_crash_at_exit(tmp_path: Path) -> None:
    """Arrays, executables and workers that are alive when the interpreter ends."""
    tests = Path(__file__).parents[1]
    script = textwrap.dedent(
        """
        import threading
        import numpy as np
        from runtime.programs import affine_executable, callable_of
        f = callable_of(affine_executable("n", cost=2000))
        x = np.ones(100_000, np.float32)
        keep = [f(x) for _ in range(3)]
        bound = f.bind(x)
        def busy():
            while True:
                f(x)
        threading.Thread(target=busy, daemon=True).start()
        """
    )
    path = os.pathsep.join([str(tests), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
