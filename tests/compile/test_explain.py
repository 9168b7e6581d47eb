"""The report: what fired, why kernels stayed apart, copies, cache, threads, costs, as data."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import symc as sc
from symc.compile.explain import SECTIONS
from symc.ir.formula import LONGEST, formula


def shown(expression: sc.Expr) -> str:
    return formula(expression.__symc_operand__().value)


def test_expressions_are_written_in_the_users_names() -> None:
    x, w, b = sc.var("x", "f64[n,3]"), sc.var("W", "f64[3,4]"), sc.var("b", "f64[4]")
    written = {
        "log(1 + exp(x))": sc.log(1 + sc.exp(x)),
        "tanh(x @ W + b)": sc.tanh(x @ w + b),
        "-(x ** 2) ** 2": -((x**2) ** 2),
        "x - 1 - (x - 2)": (x - 1) - (x - 2),
        "(x + 1) * (x - 0.5)": (x + 1) * (x - 0.5),
        "sum(x[:, 0:2], axis=1)": x[:, :2].sum(axis=1),
        "sum(x)": sc.sum(x),
        "(x @ W).T": (x @ w).T,
        "where(x > 0, x, 0.1 * x)": sc.where(x > 0, x, 0.1 * x),
        "f32(x)": x.astype("f32"),
        "-x / x": -x / x,
    }
    for text, expression in written.items():
        assert shown(expression) == text


def test_long_expressions_are_cut_and_cost_little() -> None:
    x = sc.var("x", "f64[n]")
    y = x
    for _ in range(5000):
        y = sc.sin(y) + y * y
    text = shown(y)
    assert "..." in text
    assert len(text) <= 2 * LONGEST


def softplus() -> sc.Function:
    x = sc.var("x", "f64[n]")
    return sc.function([x], sc.log(1 + sc.exp(x)), name="loss", cache=False)


def test_a_rewrite_shows_line_before_and_after() -> None:
    report = softplus().explain()
    (fired,) = [f for f in report.rewrites if f.rule == "log_of_one_plus_exp"]
    assert (fired.before, fired.after) == ("log(1 + exp(x))", "softplus(x)")
    assert fired.stage == "stabilise"
    assert fired.location.file.endswith("test_explain.py")
    assert "log(1 + exp(x))  ->  softplus(x)" in report
    assert "log(1 + exp(x))" in softplus().explain("rewrites")


def test_rewrites_before_differentiation_are_shown() -> None:
    x = sc.var("x", "f64[n]")
    loss = sc.sum(sc.log(1 + sc.exp(x)))
    f = sc.function([x], sc.grad(loss, x), cache=False)
    fired = {f.rule: f for f in f.explain().rewrites}["log_of_one_plus_exp"]
    assert (fired.before, fired.after) == ("log(1 + exp(x))", "softplus(x)")
    assert fired.stage == "stabilise before differentiation"
    both = sc.function([x], [loss, sc.grad(loss, x)], cache=False)
    rules = [f.rule for f in both.explain().rewrites]
    assert rules.count("log_of_one_plus_exp") == 1
    traced = sc.jit(sc.grad(lambda v: sc.sum(sc.log(1 + sc.exp(v)))))
    traced(np.ones(3))
    assert "log_of_one_plus_exp" in {f.rule for f in traced.explain().rewrites}


def kinds(f: sc.Function) -> set[str]:
    return {split.kind for split in f.explain().fusion}


def test_why_kernels_stay_apart() -> None:
    x, w = sc.var("x", "f32[n,8]"), sc.var("w", "f32[8,8]")
    i = sc.var("i", "i64[5]")
    h = sc.tanh(x)

    def made(inputs: list[object], *results: sc.Expr) -> sc.Function:
        return sc.function(inputs, list(results), cache=False)  # type: ignore[arg-type]

    assert kinds(made([x, w], h @ w)) == {"operand"}
    assert kinds(made([x, w], sc.sum(x @ w, axis=1))) == {"contract"}
    assert kinds(made([x], x - sc.mean(x))) >= {"rows"}
    assert kinds(made([x, i], sc.take(h, i, axis=0))) == {"gathered"}
    assert kinds(made([x], h * 2, h + 1)) == set()
    row = sc.var("row", "f32[8]")
    assert kinds(made([x, row], x * sc.tanh(row))) == {"repeated"}


def test_code_size_is_a_reason() -> None:
    x = sc.var("x", "f32[n]")
    y = x
    for _ in range(300):
        y = sc.tanh(y) * 0.5
    f = sc.function([x], y, cache=False)
    assert len(f.explain().kernels) > 1
    assert kinds(f) == {"code"}


def test_a_split_names_kernels_value_and_lines() -> None:
    x, w = sc.var("x", "f32[n,8]"), sc.var("w", "f32[8,8]")
    h = sc.tanh(x)
    y = h @ w
    f = sc.function([x, w], y, cache=False)
    report = f.explain()
    (split,) = report.fusion
    assert (split.producer, split.consumer, split.value) == ("k0", "k1", "tanh(x)")
    assert split.used_at.line == split.made_at.line + 1
    text = f.explain("fusion")
    assert "k0 | k1 over tanh(x): a contraction reads its operands from memory" in text
    assert "k0 makes tanh(x)" in text
    assert re.search(r"made at .*test_explain.py:\d+, used at .*test_explain.py:\d+", text)


def test_every_section_is_text_and_data() -> None:
    f = softplus()
    report = f.explain()
    assert repr(report) == str(report)
    for title in SECTIONS:
        assert f.explain(title).startswith("loss: cache off")
    assert (report.flops, report.bytes, report.workspace) == ("n", "16*n", "0")
    assert report.cache_reason == "cache=False was asked for"
    assert report.threads >= 1
    assert [timing.stage for timing in report.passes][-4:] == [
        "fuse",
        "lower",
        "codegen",
        "buffers",
    ]
    assert report.kernels[0].makes == ("softplus(x)",)
    with pytest.raises(sc.DomainError, match="rewrites, fusion"):
        f.explain("everything")
    with pytest.raises(AttributeError):
        _ = report.nonsense


def test_a_report_after_a_warm_start_is_complete() -> None:
    def build() -> sc.Function:
        x = sc.var("x", "f64[n]")
        return sc.function([x], sc.log(1 + sc.exp(x)) * 7.25, name="warm")

    first, second = build(), build()
    assert first.explain().cache == "miss"
    report = second.explain()
    assert report.cache == "hit"
    assert re.fullmatch(r"loaded in \d+\.\d\d ms", report.cache_reason)
    assert not report.fresh
    assert [f.before for f in report.rewrites] == [f.before for f in first.explain().rewrites]
    assert [k.makes for k in report.kernels] == [k.makes for k in first.explain().kernels]
    assert "made for this report" in second.explain("passes")
    assert second(np.zeros(2)).shape == (2,)


class Tags(HTMLParser):
    """Checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.outside += [v for k, v in attrs if k in {"src", "href"} and v]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def test_the_page_stands_alone() -> None:
    page = softplus().explain(html=True)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.outside == []
    assert {"details", "summary", "table", "svg", "style"} <= tags.seen
    assert "script" not in tags.seen
    assert "log(1 + exp(x))" in page
    for title in ("rewrites", "kernels", "passes", "cache", "cost"):
        assert f"<summary>{title}</summary>" in page
    assert page.count("<svg") == 2


def test_the_page_of_a_large_program_shows_its_kernels_once() -> None:
    x = sc.var("x", "f64[n]")
    y = x
    for _ in range(300):
        y = sc.tanh(y + 1)
    assert sc.function([x], y, cache=False).explain(html=True).count("<svg") == 1


def test_copies_are_listed_with_lines() -> None:
    x = sc.var("x", "f64[n]")
    s = sc.shared(np.zeros(3), name="s")
    f = sc.function([x], [x, s], updates={s: s * 2}, cache=False)
    found = f.explain().copies
    assert len(found) == 2
    assert any(re.match(r"input x \(%\d, f64\) is copied to output 0 ", line) for line in found)
    assert any(line.startswith("shared s ") for line in found)


def test_packed_operands_are_listed() -> None:
    x, y = sc.var("x", "f32[600,600]"), sc.var("y", "f32[600,600]")
    f = sc.function([x, y], x @ y, cache=False)
    (kernel,) = f.explain().kernels
    assert re.match(r"tiles of operands packed in \d+ bytes per thread", kernel.packs[0])
    assert kernel.reads == "x: f32[600,600], y: f32[600,600]"
    assert "tiles of operands packed" in f.explain("copies")


def test_loops_say_what_stays_in_a_step_and_why() -> None:
    x = sc.var("x", "f64[t,4,3]")
    w = sc.shared(np.ones((3, 5)), name="W")
    u = sc.shared(np.ones((5, 5)), name="U")

    def step(h: sc.Expr, row: sc.Expr) -> tuple[sc.Expr, sc.Expr]:
        h = sc.tanh(row @ w + h @ u)
        return h, h.sum(axis=0)

    f = sc.function([x], sc.scan(step, sc.zeros((4, 5)), x)[1], cache=False)
    (loop,) = f.explain().loops
    assert (loop.kind, loop.length, loop.carries) == ("scan", "t", 1)
    assert loop.after < loop.before
    assert all("W" not in one.value for one in loop.stayed)
    products = [one for one in loop.stayed if "@" in one.value and "tanh" not in one.value]
    assert [(one.value, one.carries) for one in products] == [("carry 0 @ U", ("carry 0",))]
    assert products[0].location.file.endswith("test_explain.py")
    assert "stays: carry 0 @ U (needs carry 0)" in f.explain("loops")
    assert "loop" in kinds(f)


def test_while_loops_are_reported_too() -> None:
    x, k = sc.var("x", "f64[3]"), sc.var("k", "f64[3]")
    last = sc.while_loop(lambda v: sc.sum(v) < 100, lambda v: v * 2 + sc.exp(k), x)
    (loop,) = sc.function([x, k], last, cache=False).explain().loops
    assert (loop.kind, loop.carries) == ("while", 1)
    assert loop.length == "until its condition fails"
