"""`python -m symc`: each command does what it says, and bad input is told apart by exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symc as sc
from symc.cli import main
from symc.ir.parse import parse_function
from symc.ir.parse_nest import parse_nests
from symc.ir.parse_program import parse_program
from symc.passes import PASSES

GOLDEN = Path(__file__).parents[1] / "golden"
SOFTPLUS = GOLDEN / "stabilise" / "softplus.ir"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "symc"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The first half of a golden file: a function in MLIR form."""
    file = tmp_path / "softplus.ir"
    file.write_text(SOFTPLUS.read_text().partition("// -----\n")[0])
    return file


def compile_something() -> None:
    x = sc.var("x", "f64[n]")
    assert sc.function([x], x * 3 + 1)(np.ones(2)).tolist() == [4, 4]


def test_doctor(capsys: pytest.CaptureFixture[str], own_cache: Path) -> None:
    assert main(["doctor"]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["kernel"] == "ok"
    assert shown["numpy"] == np.__version__
    assert str(own_cache) in shown["cache"]


def test_doctor_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("symc.cli.self_check", lambda: {"kernel": "wrong result"})
    assert main(["doctor"]) == 1
    assert "wrong result" in capsys.readouterr().out


def test_cache(capsys: pytest.CaptureFixture[str], own_cache: Path) -> None:
    assert main(["cache", "stat"]) == 0
    assert "0 entries" in capsys.readouterr().out
    compile_something()
    assert main(["cache", "stat"]) == 0
    assert "1 entries" in capsys.readouterr().out
    assert main(["cache", "list"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    (file,) = own_cache.glob("*.symc")
    assert file.stem in line
    assert main(["cache", "purge"]) == 0
    assert "removed 1 entries" in capsys.readouterr().out
    assert list(own_cache.glob("*.symc")) == []
    assert main(["cache", "list"]) == 0
    assert capsys.readouterr().out == ""


def test_cache_in_a_directory_of_somebody_else(
    capsys: pytest.CaptureFixture[str], own_cache: Path
) -> None:
    own_cache.mkdir(mode=0o777)
    own_cache.chmod(0o777)
    with pytest.warns(UserWarning, match="mode is 777"):
        assert main(["cache", "stat"]) == 0
    assert "mode is 777" in capsys.readouterr().out


def test_opt(capsys: pytest.CaptureFixture[str], source: Path) -> None:
    assert main(["opt", str(source), "-p", "stabilise,dce"]) == 0
    shown = capsys.readouterr().out
    assert "symc.softplus" in shown
    assert parse_function(shown).results
    assert main(["opt", str(source), "-p", ""]) == 0
    assert "symc.softplus" not in capsys.readouterr().out


def test_opt_prints_after_each_pass(capsys: pytest.CaptureFixture[str], source: Path) -> None:
    assert main(["opt", str(source), "--print-after-all"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("// after inline") < shown.index("// after stabilise")
    assert shown.count("// after ") >= len(PASSES)


def opt(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["opt", *arguments]) == 0
    return capsys.readouterr().out


def test_opt_goes_down_to_machine_code_level_by_level(
    capsys: pytest.CaptureFixture[str], source: Path, tmp_path: Path
) -> None:
    kernels, program = tmp_path / "kernels.ir", tmp_path / "program.ir"
    kernels.write_text(opt(capsys, str(source), "-p", "stabilise,dce,lower"))
    assert all(nest.stages for nest in parse_nests(kernels.read_text()))
    program.write_text(opt(capsys, str(source), "-p", "stabilise,dce,buffers"))
    assert parse_program(program.read_text()).code
    for file in (kernels, program):
        assert opt(capsys, str(file)).rstrip() == file.read_text().rstrip()
    llvm = opt(capsys, str(kernels), "-p", "codegen")
    assert "define" in llvm
    assert (
        opt(capsys, str(source), "-p", "stabilise,dce,codegen").split("\n")[0]
        == llvm.split("\n")[0]
    )
    for file, name in ((kernels, "dce"), (program, "codegen"), (kernels, "lower")):
        assert main(["opt", str(file), "-p", name]) == 1
        assert "expected: a function" in capsys.readouterr().err


def test_opt_reads_what_a_function_prints(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    x = sc.var("x", "f64[n,3]")
    f = sc.function([x], sc.softmax(x))
    for stage in ("traced", "defined", "optimized", "kernels", "program"):
        file = tmp_path / f"{stage}.ir"
        file.write_text(f.ir(stage))
        again = opt(capsys, str(file), "-p", "")
        without = [line for line in f.ir(stage).splitlines() if line and not line.startswith("//")]
        assert [line for line in again.splitlines() if line] == without


def test_opt_compares_with_the_oracle(capsys: pytest.CaptureFixture[str], source: Path) -> None:
    shown = opt(capsys, str(source), "--check")
    assert "symc.softplus" in shown
    assert "nest" in opt(capsys, str(source), "-p", "stabilise,lower", "--check")
    assert "define" in opt(capsys, str(source), "-p", "codegen", "--check")


def test_explain_passes_arguments_and_writes_a_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script, page = tmp_path / "script.py", tmp_path / "page.html"
    script.write_text(
        "import sys, numpy as np, symc as sc\n"
        'x = sc.var("x", "f64[n]")\n'
        "for name in sys.argv[1:]:\n"
        "    sc.function([x], sc.exp(x), name=name)\n"
    )
    assert main(["explain", "--what", "kernels", "--html", str(page), str(script), "a", "b"]) == 0
    shown = capsys.readouterr().out
    assert "a: cache" in shown
    assert "b: cache" in shown
    assert "rewrites" not in shown
    assert page.read_text().count("<h1>") == 2


def test_explain(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, symc as sc\n"
        'x = sc.var("x", "f64[n]")\n'
        "f = sc.function([x], sc.log(1 + sc.exp(x)), name='loss')\n"
        "print(f(np.zeros(1)).shape)\n"
    )
    assert main(["explain", str(script)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("(1,)\n")
    assert "loss: cache miss, 1 kernels" in shown
    assert "log_of_one_plus_exp" in shown
    assert "script.py:3" in shown


BAD: dict[str, tuple[list[str], int, str]] = {
    "no command": ([], 2, "COMMAND"),
    "unknown command": (["fly"], 2, "invalid choice"),
    "unknown cache action": (["cache", "eat"], 2, "invalid choice"),
    "unknown pass": (["opt", str(SOFTPLUS), "-p", "dce,frobnicate"], 2, "no pass 'frobnicate'"),
    "missing file": (["opt", "nowhere.ir"], 1, "nowhere.ir"),
    "no IR": (["opt", str(Path(__file__))], 1, "symc: "),
    "missing script": (["explain", "nowhere.py"], 1, "nowhere.py"),
}


@pytest.mark.parametrize(("arguments", "status", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_has_a_message_and_a_status(
    arguments: list[str], status: int, words: str, tmp_path: Path
) -> None:
    """In a process of its own: no traceback, a message on stderr, an exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "symc", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_script_that_fails_shows_its_own_traceback(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise RuntimeError('mine')\n")
    with pytest.raises(RuntimeError, match="mine"):
        main(["explain", str(script)])
