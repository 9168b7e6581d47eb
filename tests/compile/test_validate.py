"""check="passes": a pass that changes what a program computes is caught and named."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from compile.entries import softmax_loss
from fuzz.generate import generate
from symc import CompileError
from symc.compile import compile_entry
from symc.compile.validate import validate
from symc.ir import ops, term
from symc.ir.build import apply, parameter
from symc.ir.core import Function, Node, Value, reachable
from symc.ir.options import CONTRACTION, Options
from symc.ir.term import Term
from symc.ir.types import F64
from symc.passes import MEANING, OPTIMISING, PASSES, run_passes, sweep
from symc.passes.pattern import Apply, Hole, Match, Rule, RuleSet
from symc.passes.rewrite import rewrite


def broken(change: Callable[[Node], Value | None]) -> Callable[[Function, Options], Function]:
    """A pass that puts something wrong in place of some nodes."""

    def run(function: Function, options: Options) -> Function:
        def visit(node: Node) -> list[Value] | None:
            made = change(node)
            return None if made is None else [made]

        return sweep.Sweep(function).run(visit)

    return run


def sine_for_tanh(node: Node) -> Value | None:
    return apply(ops.SIN, node.operands).results[0] if node.op is ops.TANH else None


def other_zero(node: Node) -> Value | None:
    """x * 1 -> x + 0: equal for every number, but the sign of zero is lost."""
    if node.op is not ops.MUL:
        return None
    minus = apply(ops.SUB, (node.operands[0], node.operands[0])).results[0]
    return apply(ops.ADD, (node.operands[0], minus)).results[0]


@pytest.mark.parametrize("change", [sine_for_tanh, other_zero])
def test_a_wrong_pass_is_named_with_the_users_line(
    change: Callable[[Node], Value | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PASSES, "fold", broken(change))
    with pytest.raises(CompileError, match=r"pass fold changes result 1(.|\n)*entries\.py:\d+"):
        compile_entry(softmax_loss(), Options(check="passes"), ())
    assert compile_entry(softmax_loss(), Options(cache=False), ()) is not None


def test_a_stability_row_must_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = broken(sine_for_tanh)
    monkeypatch.setitem(PASSES, "stabilise", lambda f, options, *_: wrong(f, options))
    with pytest.raises(CompileError, match="pass stabilise"):
        compile_entry(softmax_loss(), Options(check="passes"), ())


def test_correct_passes_pass() -> None:
    compiled = compile_entry(softmax_loss(), Options(check="passes"), ())
    assert compiled.report.cache == "off"
    assert compiled.report.fired


def test_random_programs_pass() -> None:
    for number in range(25):
        function = generate(Random(number), {}).function
        run_passes(function, (*MEANING, *OPTIMISING[3]), Options(), observer=validate)


def test_a_licensed_rule_may_change_bits_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms of a contraction in another order, as a rule with the licence and as one without."""
    x, y = Term(parameter("x", F64, (3, 4, 5))), Term(parameter("y", F64, (5, 4, 3)))
    axes = {"lhs_batch": (), "rhs_batch": (), "order": "any"}
    z = term.make(ops.DOT, x, y, **axes, lhs_contract=(1, 2), rhs_contract=(1, 0))

    def turned(match: Match) -> Term:
        return match.make(ops.DOT, x, y, **axes, lhs_contract=(2, 1), rhs_contract=(0, 1))

    def guard(match: Match) -> bool:
        return match.node.attrs["lhs_contract"] == (1, 2)

    nodes, _ = reachable([z.value])
    function = Function("f", (x.value, y.value), tuple(nodes), (z.value,))
    for licence in (CONTRACTION, None):
        left = Apply(ops.DOT, (Hole("x"), Hole("y")))
        rules = RuleSet((Rule("turn", left, turned, licence, guard),))

        def run(
            function: Function,
            options: Options,
            fired: Callable[..., None] | None = None,
            rules: RuleSet = rules,
        ) -> Function:
            return rewrite(function, rules, options, fired)

        monkeypatch.setitem(PASSES, "algebra", run)
        if licence is not None:
            run_passes(function, ("algebra",), Options(), observer=validate)
            continue
        with pytest.raises(CompileError, match="pass algebra changes result 0"):
            run_passes(function, ("algebra",), Options(), observer=validate)
