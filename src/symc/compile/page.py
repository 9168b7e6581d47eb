"""The report as one self-contained HTML page.

before: a completed `Report` and pictures of the program.  after: a page with a folding section
each for the graph, rewrites, fusion, loops, kernels, copies, costs, passes; no script, no file
beside it.

Invariant: whatever the user wrote is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from symc.compile import loop_text
from symc.compile.explain import SECTIONS, head, section, user_lines
from symc.ir.report import Report
from symc.ir.report_loops import Stayed

_STYLE: Final = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2em;max-width:80em;color:#111827}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #e5e7eb;padding:.2em .8em;"
    "text-align:left;vertical-align:top}td.n{text-align:right}"
    "code,pre{font:12px/1.5 ui-monospace,monospace}pre{background:#f9fafb;padding:.8em}"
    "summary{font-weight:600;cursor:pointer;margin-top:1em}.g{overflow:auto;max-height:70vh}"
    ".bar{background:#c7d2fe;height:.8em}"
)
# Sections that are tables; the others are their text.
_TABLES: Final = frozenset({"rewrites", "fusion", "loops", "kernels", "passes"})


def render_page(report: Report, pictures: Sequence[tuple[str, str]]) -> str:
    """The page; `pictures` are titles and SVG elements."""
    return page([body(report, pictures)], report.name)


def page(bodies: Iterable[str], title: str = "symc") -> str:
    """A page around what `body` made of one or more reports."""
    parts = [
        "<!doctype html><html><head><meta charset='utf-8'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        *bodies,
        "</body></html>",
    ]
    return "".join(parts)


def body(report: Report, pictures: Sequence[tuple[str, str]]) -> str:
    """What stands between the page's tags, for pages of others."""
    return "".join(_parts(report, pictures))


def _parts(report: Report, pictures: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield f"<h1>{escape(report.name)}</h1><p>{escape(head(report))}</p>"
    for title, svg in pictures:
        yield _folding(title, f"<div class='g'>{svg}</div>", opened=True)
    for title in SECTIONS:
        if title not in _TABLES:
            lines = section(report, title)
            if lines:
                yield _folding(title, f"<pre>{escape(chr(10).join(lines))}</pre>")
            continue
        table = {
            "rewrites": _rewrites,
            "fusion": _fusion,
            "loops": _loops,
            "kernels": _kernels,
            "passes": _passes,
        }[title](report)
        if table:
            yield _folding(title, table, opened=title in {"rewrites", "passes"})


def _folding(title: str, inside: str, *, opened: bool = False) -> str:
    state = " open" if opened else ""
    return f"<details{state}><summary>{escape(title)}</summary>{inside}</details>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    shown = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    if not shown:
        return ""
    titles = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f"<table><tr>{titles}</tr><tr>{'</tr><tr>'.join(shown)}</tr></table>"


def _code(text: object) -> str:
    return f"<code>{escape(str(text))}</code>"


def _rewrites(report: Report) -> str:
    rows = [
        (_code(f.before), _code(f.after), escape(f.rule), escape(f.stage), escape(str(f.location)))
        for f in report.fired
    ]
    return _table(("before", "after", "rule", "pass", "line"), rows)


def _fusion(report: Report) -> str:
    rows = [
        (
            escape(s.producer),
            escape(s.consumer),
            _code(s.value),
            escape(s.reason),
            escape(str(s.made_at)),
            escape(str(s.used_at)),
        )
        for s in report.fusion
    ]
    return _table(("kernel", "kernel", "over", "apart because", "made at", "used at"), rows)


def _loops(report: Report) -> str:
    rows = [
        (
            escape(loop_text.head(loop)),
            "<br>".join(escape(loop_text.moved_line(one)) for one in loop.moved),
            "<br>".join(_code(f"{p.value} as {p.shape}") for p in loop.products),
            "<br>".join(_stayed(one) for one in loop.stayed),
            f"{escape(str(loop.step))}<br>was {escape(str(loop.step_before))}",
            f"{escape(str(loop.whole))}<br>was {escape(str(loop.whole_before))}",
            escape(str(loop.memory)),
        )
        for loop in report.loops
    ]
    heads = ("loop", "moved out", "contractions", "stays", "a step", "all steps", "bytes added")
    gone = "".join(f"<p>{escape(loop_text.vanished_line(one))}</p>" for one in report.vanished)
    return _table(heads, rows) + gone


def _stayed(one: Stayed) -> str:
    why = escape(f"{loop_text.reason(one)}, {one.location}")
    return f"{_code(one.value)} {why}<br>{_code(loop_text.path(one))}"


def _kernels(report: Report) -> str:
    rows = [
        (
            escape(k.name),
            "<br>".join(_code(made) for made in k.makes),
            "<br>".join(_code(line) for line in k.operations),
            escape(k.flops),
            escape(k.bytes),
            escape(k.blocks),
            escape(", ".join(user_lines(k.locations))),
        )
        for k in report.kernels
    ]
    heads = ("kernel", "makes", "stages", "operations", "bytes", "blocks", "lines")
    return _table(heads, rows)


def _passes(report: Report) -> str:
    total = sum(timing.milliseconds for timing in report.timings) or 1.0
    rows = [
        (
            escape(t.stage),
            f"{t.milliseconds:.2f} ms",
            f"{t.milliseconds / total:.0%}",
            f"<div class='bar' style='width:{200 * t.milliseconds / total:.0f}px'></div>",
            f"{t.nodes_before} → {t.nodes_after}",
        )
        for t in report.timings
    ]
    return _table(("pass", "time", "share", "", "nodes"), rows)
