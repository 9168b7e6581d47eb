"""The disk cache as the driver uses it: same bits, nothing generated, any defect a silent miss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compile.entries import call, softmax_loss
from symc.compile import compile_entry, driver, places
from symc.compile.key import entry_key
from symc.ir.build import apply
from symc.ir.core import Function
from symc.ir.locations import Location
from symc.ir.options import Options
from symc.runtime.cache import Entry as Stored
from symc.runtime.cache import default_directory

HERE = Path(__file__).parents[1]
WARM = """
import sys
import numpy as np
from compile.entries import call, softmax_loss
from symc.compile import compile_entry
from symc.compile.key import entry_key
from symc.ir.options import Options
compiled = compile_entry(softmax_loss(), Options(), ())
found = call(compiled, np.linspace(-3, 3, 35, dtype=np.float32).reshape(5, 7))
heavy = ("llvmlite", "symc.codegen_llvm", "symc.passes", "symc.compile.stages")
loaded = [name for name in heavy if name in sys.modules]
key = entry_key(softmax_loss(), Options())
print(compiled.report.cache, key.hex(), found[0].tobytes().hex(), *loaded)
"""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def files() -> list[Path]:
    return sorted(default_directory().glob("*.symc"))


def numbers() -> np.ndarray:
    return np.linspace(-3, 3, 35, dtype=np.float32).reshape(5, 7)


def fresh_process(seed: int) -> list[str]:
    environment = os.environ | {
        "PYTHONHASHSEED": str(seed),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WARM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_hit_gives_the_same_bits_and_generates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_entry(softmax_loss(), Options(), ())
    assert first.report.cache == "miss"
    assert len(files()) == 1

    def refuse(*_: object) -> None:
        raise AssertionError("a hit generated code")

    with monkeypatch.context() as patched:
        patched.setattr("symc.compile.stages.run_stages", refuse)
        second = compile_entry(softmax_loss(), Options(), ())
    assert second.report.cache == "hit"
    for left, right in zip(call(first, numbers()), call(second, numbers()), strict=True):
        assert left.tobytes() == right.tobytes()


def test_a_warm_process_loads_no_code_generator() -> None:
    cold, *cold_rest = fresh_process(1)
    warm, key, _, *loaded = fresh_process(2)
    assert (cold, warm) == ("miss", "hit")
    assert loaded == []
    assert cold_rest[:2] == [key, cold_rest[1]]
    assert key == entry_key(softmax_loss(), Options()).hex()
    assert "llvmlite" in cold_rest


@pytest.mark.parametrize("at", [0, 9, 20, 60, 200, -1])
def test_an_altered_entry_is_a_silent_miss(at: int) -> None:
    expected = call(compile_entry(softmax_loss(), Options(), ()), numbers())
    (file,) = files()
    data = bytearray(file.read_bytes())
    data[at] ^= 0x40
    file.write_bytes(bytes(data))
    again = compile_entry(softmax_loss(), Options(), ())
    assert again.report.cache == "miss"
    assert [x.tobytes() for x in call(again, numbers())] == [x.tobytes() for x in expected]
    assert compile_entry(softmax_loss(), Options(), ()).report.cache == "hit"


def test_a_well_formed_entry_that_holds_no_program_is_a_silent_miss() -> None:
    key = entry_key(softmax_loss(), Options())
    cache = driver.disk(default_directory())
    good = compile_entry(softmax_loss(), Options(), ())
    stored = cache.get(key)
    assert stored is not None
    for program, code in (
        (b"", b""),
        (b"junk" * 9, stored.object_code),
        (stored.program, b"\x7fELF"),
    ):
        cache.put(key, Stored(program, code, {}))
        again = compile_entry(softmax_loss(), Options(), ())
        assert again.report.cache == "miss"
        assert call(again, numbers())[0].tobytes() == call(good, numbers())[0].tobytes()


def test_a_hit_gives_the_lines_of_this_process() -> None:
    """The stored program was written by other lines of the same program."""
    first = softmax_loss()
    moved = replace(first, function=renumbered(first.function, 1000))
    assert entry_key(first, Options()) == entry_key(moved, Options())
    stages = compile_entry(first, Options(), ()).stages
    metadata = places.numbers(first.function, stages.program.locations)
    again = json.loads(json.dumps(metadata))
    here = places.attach(first.function, again)
    there = places.attach(moved.function, again)
    assert here == [text for text in stages.program.locations if text]
    assert any("entries.py" in text for text in here)
    for old, new in zip(here, there, strict=True):
        lines = [int(line.rpartition(":")[2]) for line in old.split(", ")]
        assert [int(line.rpartition(":")[2]) for line in new.split(", ")] == [
            line + 1000 if line else 0 for line in lines
        ]


@pytest.mark.parametrize("junk", [None, 3, [[1, 2]], [[["a", 0]]], [[[999, 0]], [[0, -4]]]])
def test_places_that_make_no_sense_are_unknown(junk: object) -> None:
    found = places.attach(softmax_loss().function, {"places": junk})
    assert set(found) <= {"<unknown>:0"}


def renumbered(function: Function, by: int) -> Function:
    """The same program, written `by` lines further down."""
    values = dict(zip(function.params, function.params, strict=True))
    nodes = []
    for node in function.nodes:
        lines = tuple(Location(place.file, place.line + by) for place in node.locations)
        made = apply(node.op, [values[x] for x in node.operands], node.attrs, locations=lines)
        values.update(zip(node.results, made.results, strict=True))
        nodes.append(made)
    results = tuple(values[result] for result in function.results)
    return replace(function, nodes=tuple(nodes), results=results)


def test_a_directory_that_cannot_be_used_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "symc").write_text("in the way")
    with pytest.warns(UserWarning, match="cache directory"):
        compiled = compile_entry(softmax_loss(), Options(), ())
    assert call(compiled, numbers())[0].shape == (5, 7)


def test_no_cache_and_checked_functions_store_nothing() -> None:
    for options in (Options(cache=False), Options(check="passes")):
        assert compile_entry(softmax_loss(), options, ()).report.cache == "off"
    assert files() == []
