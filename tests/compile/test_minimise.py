"""Wrong passes are caught, named, and cut down to a file that shows them again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

import symc as sc
from compile.entries import softmax_loss
from fuzz.generate import generate
from symc.cli import main
from symc.compile import compile_entry
from symc.compile import validate as validation
from symc.compile.minimise import minimised
from symc.compile.resize import resized, smaller
from symc.compile.trial import MOST_WORK, work
from symc.compile.validate import LOWERED, Validator, alone
from symc.ir import ops
from symc.ir.affine import Affine, IndexMap
from symc.ir.build import apply
from symc.ir.core import Function, Node, Value
from symc.ir.errors import CompileError
from symc.ir.nest import MapStage, Nest
from symc.ir.ops import attributes
from symc.ir.options import Options
from symc.ir.parse import parse_function
from symc.ir.report import Report
from symc.ir.term import Term
from symc.ir.types import Literal
from symc.passes import PASSES, plan_build, sweep
from symc.passes.plan import Plan

Change = Callable[[Node], Value | None]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "symc" / "reproducers"


def broken(change: Change) -> Callable[[Function, Options], Function]:
    """A pass that puts something wrong in place of some nodes."""

    def run(function: Function, options: Options) -> Function:
        def visit(node: Node) -> list[Value] | None:
            made = change(node)
            return None if made is None else [made]

        return sweep.Sweep(function).run(visit)

    return run


def wrong_constant(node: Node) -> Value | None:
    literal = node.attrs.get("value")
    if not isinstance(literal, Literal) or literal.array.dtype.kind != "f":
        return None
    return apply(ops.CONSTANT, (), {"value": Literal(literal.array + 1)}).results[0]


def swapped_operands(node: Node) -> Value | None:
    return apply(ops.SUB, node.operands[::-1]).results[0] if node.op is ops.SUB else None


def other_axes(node: Node) -> Value | None:
    """The transpose of a square matrix is forgotten."""
    shape = node.results[0].type.shape
    return node.operands[0] if node.op is ops.PERMUTE and shape == shape[::-1] else None


def dropped_reversal(node: Node) -> Value | None:
    """A slice that runs backwards is taken for the whole."""
    if node.op is not ops.SLICE or node.results[0].type != node.operands[0].type:
        return None
    return node.operands[0]


def off_by_one(node: Node) -> Value | None:
    """A slice begins one further on, where there is room."""
    if node.op is not ops.SLICE or node.attrs["steps"] != (1, 1):
        return None
    starts = list(attributes.sizes(node.attrs, "starts"))
    if not isinstance(starts[0], int) or starts[0] == 0:
        return None
    attrs = dict(node.attrs) | {"starts": (starts[0] - 1, *starts[1:])}
    return apply(node.op, node.operands, attrs).results[0]


def naive_broadcast(node: Node) -> Value | None:
    """A broadcast along the other axis of a square."""
    shape, axes = node.results[0].type.shape, node.attrs.get("axes")
    if node.op is not ops.BROADCAST or axes != (1,) or len(shape) != 2 or shape[0] != shape[1]:
        return None
    return apply(node.op, node.operands, {"shape": shape, "axes": (0,)}).results[0]


def sum_for_max(node: Node) -> Value | None:
    return apply(ops.SUM, node.operands, node.attrs).results[0] if node.op is ops.MAX else None


def lost_sign_of_zero(node: Node) -> Value | None:
    """x * y -> x * y + 0: every number stays, -0 becomes +0."""
    if node.op is not ops.MUL:
        return None
    return (Term(apply(ops.MUL, node.operands).results[0]) + 0.0).value


def program() -> Function:
    """Many operations, among them one for each of the wrong passes."""
    x, y = sc.var("x", "f64[6,6]"), sc.var("y", "f64[6]")
    z = sc.tanh(x @ x.T + y) - sc.max(x, axis=1)[:, None]
    z = sc.exp(z) * 0.5 + sc.flip(z, axis=0)
    z = z.T - sc.sin(z[2:, :]).sum(axis=0) * y
    for _ in range(6):
        z = sc.cos(z) + sc.sqrt(sc.abs(z)) * y[:, None]
    values = [x.__symc_operand__().value, y.__symc_operand__().value]
    return _closed(values, [r.__symc_operand__().value for r in (z * 3, z.sum(), x * y)])


def _closed(params: list[Value], results: list[Value]) -> Function:
    nodes = {}
    todo = list(results)
    while todo:
        node = todo.pop().node
        if node is not None and node not in nodes:
            nodes[node] = None
            todo += node.operands
    ordered = sorted(nodes, key=lambda node: node.serial)
    return Function("program", tuple(params), tuple(ordered), tuple(results))


WRONG = [
    wrong_constant,
    swapped_operands,
    other_axes,
    dropped_reversal,
    off_by_one,
    naive_broadcast,
    sum_for_max,
    lost_sign_of_zero,
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
def test_a_wrong_pass_is_caught_named_minimised_and_replayed(
    change: Change,
    monkeypatch: pytest.MonkeyPatch,
    own_cache: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(PASSES, "fold", broken(change))
    with pytest.raises(CompileError, match="pass fold changes result") as caught:
        compile_entry(alone(program()), Options(check="passes"), ())
    assert re.search(r"test_minimise\.py:\d+", str(caught.value))
    (file,) = own_cache.glob("*.ir")
    assert f"opt {file} -p fold --check" in str(caught.value)
    text = file.read_text()
    assert "// pass fold changes result 0 of this function" in text
    assert len(parse_function(text).nodes) <= 3
    assert main(["opt", str(file), "-p", "fold", "--check"]) == 1
    assert "pass fold changes result" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache))
    assert main(["opt", str(file), "-p", "fold", "--check"]) == 0


def test_a_pass_that_breaks_the_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def loses_nodes(function: Function, options: Options) -> Function:
        return Function(function.name, function.params, function.nodes[1:], function.results)

    monkeypatch.setitem(PASSES, "fold", loses_nodes)
    with pytest.raises(CompileError, match="pass fold breaks the program"):
        compile_entry(alone(program()), Options(check="passes"), ())


def test_a_reproducer_goes_elsewhere_when_the_cache_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, own_cache: Path, tmp_path: Path
) -> None:
    own_cache.parent.mkdir()
    own_cache.write_text("a file where the folder should be")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setitem(PASSES, "fold", broken(swapped_operands))
    with pytest.raises(CompileError) as caught:
        compile_entry(alone(program()), Options(check="passes"), ())
    (file,) = (tmp_path / "temporary" / "symc-reproducers").glob("*.ir")
    assert str(file) in str(caught.value)


# Kernels.
def shifted(nest: Nest) -> Nest:
    """The first load of a kernel reads one element further back, cyclically no more."""
    stage = nest.stages[0]
    assert isinstance(stage, MapStage)
    load = stage.loads[0]
    first, *rest = load.map.indices
    moved = Affine((-1, *first.factors[1:]), 5)
    map = IndexMap(load.map.rank, (moved, *rest))
    load = type(load)(load.operand, map, load.gathers, load.fill)
    stage = MapStage(stage.inner, (load, *stage.loads[1:]), stage.indices, stage.body, stage.stores)
    return Nest(
        nest.name,
        nest.operands,
        nest.outer,
        (stage, *nest.stages[1:]),
        nest.symbols,
        nest.locations,
    )


@pytest.mark.parametrize("stage", list(LOWERED))
def test_wrong_kernels_are_caught_and_minimised(
    stage: str, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    right = plan_build.run

    def wrong(entry: object) -> Plan:
        plan = right(entry)  # type: ignore[arg-type]
        steps = list(plan.steps)
        for i, step in enumerate(steps):
            first = step.nest.stages[0]
            if isinstance(first, MapStage) and first.loads and step.nest.outer[:1] == (6,):
                steps[i] = type(step)(shifted(step.nest), step.values, step.olds, step.traps)
        return Plan(plan.entry, tuple(steps), plan.aliases, plan.in_place)

    x = sc.var("x", "f64[6]")
    entry = alone(
        _closed(
            [x.__symc_operand__().value],
            [(sc.exp(x) * 2 + sc.sin(x) - 1).__symc_operand__().value],
        )
    )
    Validator(Options()).stage(stage, entry)
    monkeypatch.setattr(validation.plan_build, "run", wrong)
    with pytest.raises(CompileError, match=f"pass {stage} changes result 0"):
        Validator(Options()).stage(stage, entry)
    (file,) = own_cache.glob("*.ir")
    assert len(parse_function(file.read_text()).nodes) <= 1


def test_later_stages_of_random_programs_agree() -> None:
    for number in range(6):
        entry = alone(generate(Random(number), {}).function)
        for stage in LOWERED:
            Validator(Options(contract="chain")).stage(stage, entry)


def test_updates_in_place_are_checked() -> None:
    w = sc.shared(np.arange(12.0).reshape(3, 4), name="w")
    x = sc.var("x", "f64[n,3]")
    y = sc.tanh(x @ w)
    f = sc.function([x], y.sum(), updates={w: w - 0.1 * (x.T @ y)}, check="passes")
    before = w.get()
    f(np.ones((2, 3)))
    assert not np.array_equal(w.get(), before)


# Sizes.
def large() -> Function:
    x, w = sc.var("x", "f32[1000,784]"), sc.var("w", "f32[784,100]")
    y = sc.tanh(x @ w)
    flat = sc.reshape(y, (100_000,)) * 2
    both = sc.concat([y, y[:, :50]], axis=1)
    results = [r.__symc_operand__().value for r in (flat, both.sum(axis=0))]
    return _closed([v.__symc_operand__().value for v in (x, w)], results)


def test_large_sizes_are_checked_on_small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    function = large()
    assert work(function) > MOST_WORK
    less = smaller(function)
    assert less is not None
    assert work(less) < MOST_WORK
    assert [n.op for n in less.nodes] == [n.op for n in function.nodes]
    compiled = compile_entry(alone(function), Options(check="passes"), ())
    assert "large sizes: passes were checked on smaller ones" in compiled.report.notes
    monkeypatch.setitem(PASSES, "fold", broken(wrong_constant))
    with pytest.raises(CompileError, match="pass fold changes result 0"):
        compile_entry(alone(function), Options(check="passes"), ())


def test_what_cannot_be_made_smaller_is_said_to_be_unchecked() -> None:
    x = sc.var("x", "f32[4000,3000]")
    y = sc.reshape(x, (6000, 2000)).T * 1.0 + 0.0
    function = _closed([x.__symc_operand__().value], [(y * 1).__symc_operand__().value])
    report = Report("r")
    validator = Validator(Options(), report)
    after = PASSES["dce"](function, Options())
    changed = broken(lost_sign_of_zero)(after, Options())
    validator("fold", function, changed)
    assert any("unchecked" in note for note in report.notes)


def test_sizes_that_do_not_fit_give_no_copy() -> None:
    x = sc.var("x", "f32[12]")
    y = sc.reshape(x, (3, 4)) * 2
    function = _closed([x.__symc_operand__().value], [y.__symc_operand__().value])
    assert resized(function, {12: 5}) is None
    assert resized(function, {12: 12}) is function


def test_minimising_what_does_not_fail_changes_nothing() -> None:
    function = program()
    assert minimised(function, lambda f: False) is function


def test_minimising_runs_few_tests() -> None:
    x = sc.var("x", "f64[3]")
    y = x
    for i in range(400):
        y = sc.sin(y) if i != 200 else sc.log(y)
    function = _closed([x.__symc_operand__().value], [y.__symc_operand__().value])
    tries = []

    def fails(f: Function) -> bool:
        tries.append(f)
        return any(node.op is ops.LOG for node in f.nodes)

    least = minimised(function, fails)
    assert [node.op for node in least.nodes] == [ops.LOG]
    assert len(tries) < 120


def test_licensed_rewrites_are_compared_loosely() -> None:
    for check in ("passes", "all"):
        assert compile_entry(softmax_loss(), Options(check=check, numerics="fast"), ()) is not None


def test_loops_are_checked_as_machine_code() -> None:
    x = sc.var("x", "f64[n,3]")
    ys = sc.scan(lambda c, row: (c + sc.tanh(row), c * 2), sc.zeros((3,)), x)[1]
    f = sc.function([x], ys, check="passes")
    assert f(np.ones((2, 3))).tolist()[0] == [0, 0, 0]
    assert any("machine code only" in note for note in f.explain().notes)
