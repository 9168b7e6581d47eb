"""The mutants: places where a rule, a reducer, an index map or a derivative can be made wrong.

before: the sources under `src/symc`.  after: `Mutant`s: a module with one expression changed.

Kinds: `guard` (the guard of a rewrite rule is dropped, or one of its conditions turned), `identity`
(a reducer starts from another number), `index` (an index map or its composition adds where it
subtracts, and the like), `adjoint` (a derivative rule, or a sum of cotangents, gives zero or
forgets a part).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
RULES = ("passes/algebra*.py", "passes/stab*.py", "passes/contractions.py", "passes/chains.py")
INDICES = (
    "ir/affine.py",
    "ir/ops/view.py",
    "ir/ops/gather.py",
    "ir/ops/scatter.py",
    "ir/ops/assemble.py",
    "passes/fuse_index.py",
    "passes/algebra_views.py",
)
DERIVATIVES = ("ir/ops/*.py", "autodiff/*.py", "ir/batch.py")
REDUCERS = ("ir/ops/reduce.py",)
# Where the makers of rows take a guard.
GUARDS = {"Rule": 4, "row": 3}

# An identity that is not one: for each number of it, or for its only one.
OTHER = "not x if isinstance(x, bool) else 0 if x else 1"
ALL_OTHER = f"(lambda made: lambda dtype: tuple({OTHER} for x in made(dtype)))({{}})"
ONE_OTHER = f"(lambda made: lambda dtype: [{OTHER} for x in [made(dtype)]][0])({{}})"
TURNED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
SWAPPED: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong module: `text` is the whole source with `before` changed to `after`."""

    path: Path
    line: int
    kind: str
    before: str
    after: str
    text: str

    @property
    def module(self) -> str:
        """The dotted name."""
        return ".".join(self.path.relative_to(SOURCE).with_suffix("").parts)

    def __str__(self) -> str:
        where = f"{self.path.relative_to(ROOT)}:{self.line}"
        return f"{self.kind:<8} {where}: {_short(self.before)}  ->  {_short(self.after)}"


def _short(text: str) -> str:
    return " ".join(text.split())[:60]


class _File:
    """One source file, and its mutants as they are found."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        starts = [0]
        for line in self.text.encode().split(b"\n"):
            starts.append(starts[-1] + len(line) + 1)
        self._starts = starts

    def changed(self, node: ast.expr, kind: str, after: str) -> Mutant:
        """The file with the source of `node` replaced."""
        data = self.text.encode()
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        begin = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[node.end_lineno - 1] + node.end_col_offset
        text = (data[:begin] + after.encode() + data[end:]).decode()
        return Mutant(self.path, node.lineno, kind, data[begin:end].decode(), after, text)


def mutants() -> list[Mutant]:
    """All mutants, in a fixed order."""
    found: list[Mutant] = []
    for patterns, make in (
        (RULES, _guards),
        (REDUCERS, _identities),
        (INDICES, _indices),
        (DERIVATIVES, _adjoints),
    ):
        paths = {path for pattern in patterns for path in (SOURCE / "symc").glob(pattern)}
        for path in sorted(paths):
            if path.name != "__init__.py":
                found += make(_File(path))
    return found


def _guards(file: _File) -> Iterator[Mutant]:
    names: set[str] = set()
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Call):
            continue
        for value in _guards_of(node):
            yield file.changed(value, "guard", "None")
            if isinstance(value, ast.Name):
                names.add(value.id)
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield from _turned(file, node)


def _guards_of(call: ast.Call) -> list[ast.expr]:
    """The guard that a call gives a rule: by its name, or by its place."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "guard"]
    given += call.args[GUARDS.get(ast.unparse(call.func), len(call.args)) :][:1]
    return [value for value in given if not _is_none(value)]


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _turned(file: _File, function: ast.FunctionDef) -> Iterator[Mutant]:
    """One condition of a guard turned, or one of several dropped."""
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
            yield file.changed(node, "guard", f"({left} {TURNED[type(node.ops[0])]} {right})")
        if isinstance(node, ast.BoolOp):
            kept = [ast.unparse(value) for value in node.values]
            word = " and " if isinstance(node.op, ast.And) else " or "
            for i in range(len(kept)):
                rest = word.join(f"({text})" for j, text in enumerate(kept) if j != i)
                yield file.changed(node, "guard", f"({rest})")


def _identities(file: _File) -> Iterator[Mutant]:
    makers = {
        node.name
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef) and node.returns is not None
        if ast.unparse(node.returns) == "Reducer"
    }
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in {"Reducer", *makers}:
            continue
        form = ONE_OTHER if ast.unparse(node.func) in makers else ALL_OTHER
        values = [k.value for k in node.keywords if k.arg == "identity"] or node.args[1:2]
        for value in values:
            yield file.changed(value, "identity", form.format(ast.unparse(value)))


def _indices(file: _File) -> Iterator[Mutant]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.BinOp) and type(node.op) in SWAPPED and not _is_text(node):
            left, right = ast.unparse(node.left), ast.unparse(node.right)
            yield file.changed(node, "index", f"({left} {SWAPPED[type(node.op)]} {right})")


def _is_text(node: ast.BinOp) -> bool:
    """Whether strings or tuples are joined: they cannot be subtracted at all."""
    parts = ast.walk(node)
    return any(
        isinstance(p, ast.JoinedStr | ast.Tuple | ast.List | ast.Slice)
        or (isinstance(p, ast.Constant) and isinstance(p.value, str))
        for p in parts
    )


def _adjoints(file: _File) -> Iterator[Mutant]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Lambda) and _is_rule(node.args):
            body = ast.unparse(node.body)
            yield file.changed(node.body, "adjoint", f"({body}) * 0")
        if isinstance(node, ast.FunctionDef) and _is_rule(node.args):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    text = ast.unparse(inner.value)
                    yield file.changed(inner.value, "adjoint", f"({text}) * 0")
    if file.path.parent.name == "autodiff":
        for node in ast.walk(file.tree):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
                yield file.changed(node, "adjoint", f"({ast.unparse(node.right)})")


def _is_rule(arguments: ast.arguments) -> bool:
    """Whether a function's first argument is a tangent or a cotangent."""
    names = [argument.arg for argument in arguments.args]
    return len(names) >= 3 and names[0] in {"t", "ct"}
