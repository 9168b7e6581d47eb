"""Cache keys: equal for equal programs, different for whatever changes bits or messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compile.entries import constrained, softmax_loss
from symc.compile import key
from symc.compile.key import entry_key, source_files, stamp
from symc.ir.entry import Entry, InputInfo
from symc.ir.options import Options


def test_equal_programs_have_one_key_wherever_they_were_written() -> None:
    first = entry_key(softmax_loss(), Options())
    again = entry_key(softmax_loss(), Options())
    assert first == again


def test_threads_and_call_options_do_not_matter() -> None:
    plain = entry_key(softmax_loss(), Options())
    assert plain == entry_key(softmax_loss(), Options(threads=2, trust_input=True))


@pytest.mark.parametrize(
    "options",
    [Options(numerics="fast"), Options(contract="chain"), Options(opt=0), Options(check="nan")],
    ids=str,
)
def test_options_that_change_code_matter(options: Options) -> None:
    assert entry_key(softmax_loss(), options) != entry_key(softmax_loss(), Options())


def test_what_a_program_is_or_says_matters() -> None:
    base = softmax_loss()
    other_name = replace(base, inputs=(InputInfo("z"),))
    donated = replace(base, inputs=(InputInfo("x", donated=True),))
    function = replace(constrained().function)
    reworded = replace(
        function,
        constraints=tuple(replace(c, message="another message") for c in function.constraints),
    )
    entries = [
        base,
        other_name,
        donated,
        softmax_loss(name="other"),
        softmax_loss(4),
        softmax_loss("m"),
        constrained(),
        Entry(reworded, constrained().inputs),
        replace(base, inputs=(), constants=(np.ones((2, 7), np.float32),)),
        replace(base, inputs=(), constants=(np.ones((3, 7), np.float32),)),
        replace(base, inputs=(), states=("x",)),
        replace(base, inputs=(), states=("x",), updates=(0,)),
    ]
    keys = [entry_key(entry, Options()) for entry in entries]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("part", ["cpu_features", "build_id", "_llvm_stamp"])
def test_another_machine_or_build_has_other_keys(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = entry_key(softmax_loss(), Options())
    key._environment.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(key, part, lambda: "something else")
        there = entry_key(softmax_loss(), Options())
        key._environment.cache_clear()
    assert there != here
    assert entry_key(softmax_loss(), Options()) == here


def test_the_stamp_of_a_build_sees_every_source_file(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    inner = tmp_path / "room" / "b.py"
    inner.write_text("y = 1\n")
    (tmp_path / "room" / "notes.txt").write_text("no code")
    files = source_files(str(tmp_path))
    assert [Path(file).name for file in files] == ["a.py", "b.py"]
    before = stamp(files)
    inner.write_text("y = 12\n")
    assert stamp(files) != before
