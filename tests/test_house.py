"""The house rules that linters miss (docs/architecture.md).

Each rule is a function from the files of the repository, path -> text, to complaints; each is tried
on a sample that breaks it, so that no rule can pass by seeing nothing.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from symc.ir import errors
from symc.ir.ops import OPS

Files = Mapping[str, str]
Rule = Callable[[Files], list[str]]

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "cpp", "tests", "bench", "docs", "examples", "tools", "cmake", "typings", ".ci")
SUFFIXES = (".py", ".pyi", ".cpp", ".h", ".def", ".md", ".cmake", ".toml", ".ir", ".txt", "")
CODE = (".py", ".cpp", ".h")
GENERATED = "src/symc/_runtime.pyi"
MAX_LINES = 500

# Op names that are also words of Python, of attributes or of size arithmetic: read in context.
WORDS = frozenset(
    "abs add all and any call constant dot eq floordiv fma ge gt le lt max min mod mul ne neg not "
    "or pow set sign size slice sub sum take where".split()
)
OP_ROOMS = ("src/symc/ir/ops/", "src/symc/scalar/")
# The user's names of functions, in messages; the target's names of instructions.
SPELLING_ROOMS = (
    "src/symc/frontend/",
    "src/symc/theano/",
    "src/symc/codegen_",
    "src/symc/__init__.py",
)
STAGES = frozenset({"fuse", "lower", "buffers"})
FORBIDDEN_WORDS = re.compile(r"(?:^|_)(utils?|helpers?|misc|v[2-9])(?:_|$)")
FORBIDDEN_FILES = re.compile(r"(?:^|[_/])(utils?|helpers?|misc|common|v[2-9])(?=[_/.]|$)")
MACHINE_PATH = re.compile(r"(?<![\w.}>*])/(?:home|work|root|Users|opt|mnt|tmp)/\w")
WHO_TYPED = re.compile(r"(?i)\b(co-authored-by|the brief|the lead (?:asked|said))\b")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
SELF = "tests/test_house.py"


def repository() -> dict[str, str]:
    """All text files that the project consists of, by path from the root."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix(): path for path in found}
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in sorted(names.items())
        if path.suffix in SUFFIXES and "__pycache__" not in name and not name.endswith("/.DS_Store")
    }


def code(files: Files, *folders: str, suffixes: tuple[str, ...] = (".py",)) -> dict[str, str]:
    """The files below `folders` (all, when none is named) that end in one of `suffixes`."""
    return {
        name: text
        for name, text in files.items()
        if name.endswith(suffixes) and (not folders or name.startswith(folders))
    }


def parsed(files: Files, *folders: str) -> Iterator[tuple[str, ast.Module]]:
    """The syntax trees of the Python files below `folders`."""
    for name, text in code(files, *folders).items():
        yield name, ast.parse(text, name)


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the constants that are docstrings or other bare strings."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


# --- rules on text


def files_are_short(files: Files) -> list[str]:
    return [
        f"{name}: {lines} lines, at most {MAX_LINES}"
        for name, text in code(files, suffixes=(*CODE, ".pyi")).items()
        if name != GENERATED and (lines := len(text.splitlines())) > MAX_LINES
    ]


def text_names_no_machine(files: Files) -> list[str]:
    return [
        f"{name}:{number}: names a path of one machine, or who typed it: {line.strip()}"
        for name, text in files.items()
        if name != SELF
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line) or WHO_TYPED.search(line)
    ]


def unfinished_work_names_its_issue(files: Files) -> list[str]:
    return [
        f"{name}:{number}: write {found[1]}(#issue)"
        for name, text in files.items()
        if name != SELF
        for number, line in enumerate(text.splitlines(), 1)
        if (found := UNFINISHED.search(line))
    ]


def only_bindings_see_nanobind(files: Files) -> list[str]:
    return [
        f"{name}: includes nanobind; only cpp/runtime/bindings.cpp may"
        for name, text in code(files, "cpp/", "tests/cpp/", suffixes=(".cpp", ".h")).items()
        if name != "cpp/runtime/bindings.cpp" and re.search(r"#\s*include\s*[<\"]nanobind", text)
    ]


def the_runtime_knows_no_python(files: Files) -> list[str]:
    return [
        f"{name}: includes {found[1]}; the core is plain C++"
        for name, text in code(files, "cpp/runtime/", suffixes=(".cpp", ".h")).items()
        if name != "cpp/runtime/bindings.cpp"
        and (found := re.search(r"#\s*include\s*[<\"]((?:Python\.h|numpy/)[^>\"]*)", text))
    ]


# --- rules on names


def names_say_something(files: Files) -> list[str]:
    wrong = [f"{name}: name says nothing" for name in files if FORBIDDEN_FILES.search(name)]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for name, tree in parsed(files):
        wrong += [
            f"{name}:{node.lineno}: `{node.name}` says nothing"
            for node in ast.walk(tree)
            if isinstance(node, kinds) and FORBIDDEN_WORDS.search(node.name.lower())
        ]
    return wrong


def is_op_name(node: ast.AST, words: frozenset[str] = frozenset()) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in OPS
        and node.value not in words
    )


def reads_op_name(node: ast.AST) -> bool:
    """Whether `node` is `....name` or the op table itself."""
    return (isinstance(node, ast.Attribute) and node.attr in {"name", "OPS"}) or (
        isinstance(node, ast.Name) and node.id == "OPS"
    )


def asks_op_by_name(node: ast.AST) -> bool:
    """Whether a statement or expression picks an op by a literal name, common word or not."""
    match node:
        case ast.Compare(left=left, comparators=others):
            sides = [left, *others]
        case ast.Subscript(value=value, slice=key):
            sides = [value, key]
        case ast.Call(func=ast.Attribute(value=value, attr="get"), args=args):
            sides = [value, *args]
        case ast.Match(subject=subject, cases=cases):
            sides = [subject, *(inner for case in cases for inner in ast.walk(case.pattern))]
        case _:
            return False
    literals = (inner for side in sides for inner in ast.walk(side))
    return any(map(reads_op_name, sides)) and any(map(is_op_name, literals))


def op_names_live_with_ops(files: Files) -> list[str]:
    """Passes ask traits: an op's name is a literal only in its record and its mathematics.

    Rooms whose words are not ours to choose may spell them, but may not ask for an op by them.
    """
    wrong = []
    for name, tree in parsed(files, "src/symc/"):
        if name.startswith(OP_ROOMS):
            continue
        prose = docstrings(tree)
        spells = name.startswith(SPELLING_ROOMS)
        for node in ast.walk(tree):
            literal = not spells and is_op_name(node, WORDS) and id(node) not in prose
            if literal or asks_op_by_name(node):
                wrong.append(f"{name}:{node.lineno}: op by literal name: {ast.unparse(node)}")
    return wrong


def only_the_runtime_room_imports_the_extension(files: Files) -> list[str]:
    wrong = []
    for name, tree in parsed(files, "src/symc/"):
        if name.startswith("src/symc/runtime/"):
            continue
        for node in ast.walk(tree):
            match node:
                case ast.ImportFrom(module="symc._runtime"):
                    wrong.append(f"{name}:{node.lineno}: imports symc._runtime")
                case ast.ImportFrom(names=names) | ast.Import(names=names):
                    if any(alias.name in {"_runtime", "symc._runtime"} for alias in names):
                        wrong.append(f"{name}:{node.lineno}: imports symc._runtime")
                case _:
                    pass
    return wrong


# --- rules on passes and errors


def passes(files: Files) -> dict[str, ast.Module]:
    """The modules of the room that define `run(function, ...)`, and the three stages to kernels."""
    found = {}
    for name, tree in parsed(files, "src/symc/passes/"):
        stem = Path(name).stem
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        entries = [f.args.args[0].arg for f in functions if f.name == "run" and f.args.args]
        if "function" in entries or stem in STAGES:
            found[stem] = tree
    return found


def passes_say_before_and_after(files: Files) -> list[str]:
    return [
        f"pass {name}: its docstring has no `{part}`"
        for name, tree in passes(files).items()
        for part in ("before:", "after:")
        if part not in (ast.get_docstring(tree) or "").lower()
    ]


def passes_have_golden_files(files: Files) -> list[str]:
    return [
        f"pass {name}: no file in tests/golden/{name}/"
        for name in passes(files)
        if not any(path.startswith(f"tests/golden/{name}/") for path in files)
    ]


def error_classes() -> set[str]:
    return {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.SymcError)
    } - {"SymcError"}


def expected_errors(tree: ast.Module) -> Iterator[str]:
    """Names in `raises(...)`, and in tables of a test module that calls `raises(variable)`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raising = [node for node in calls if ast.unparse(node.func).endswith("raises")]
    tables = [node for node in ast.walk(tree) if isinstance(node, ast.Tuple | ast.List | ast.Dict)]
    for node in [*raising, *tables] if raising else []:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                yield inner.id
            elif isinstance(inner, ast.Attribute):
                yield inner.attr


def every_error_is_tested(files: Files) -> list[str]:
    seen = {name for _, tree in parsed(files, "tests/") for name in expected_errors(tree)}
    return [f"{name} is raised in no test" for name in sorted(error_classes() - seen)]


# --- the rules, each with a sample that breaks it

LONG = "x = 1\n" * (MAX_LINES + 1)
PASS = "def run(function, options):\n    return function\n"
SAMPLES: list[tuple[Rule, Files]] = [
    (files_are_short, {"src/symc/a.py": LONG}),
    (files_are_short, {"cpp/runtime/a.cpp": LONG}),
    (text_names_no_machine, {"docs/a.md": "see /home/someone/notes"}),
    (text_names_no_machine, {"src/symc/a.py": "# as the lead asked"}),
    (unfinished_work_names_its_issue, {"src/symc/a.py": "# TODO: later"}),
    (only_bindings_see_nanobind, {"cpp/runtime/vm.cpp": "#include <nanobind/nanobind.h>"}),
    (the_runtime_knows_no_python, {"cpp/runtime/vm.cpp": "#include <Python.h>"}),
    (names_say_something, {"src/symc/ir/utils.py": ""}),
    (names_say_something, {"src/symc/ir/fuse_v2.py": ""}),
    (names_say_something, {"src/symc/ir/a.py": "def add_helper(): pass"}),
    (op_names_live_with_ops, {"src/symc/passes/a.py": "chosen = {'tanh', 'exp'}"}),
    (op_names_live_with_ops, {"src/symc/passes/a.py": "add = OPS['add']"}),
    (op_names_live_with_ops, {"src/symc/passes/a.py": "hit = node.op.name in ('add', 'mul')"}),
    (op_names_live_with_ops, {"src/symc/passes/a.py": "match op.name:\n    case 'sum': pass"}),
    (only_the_runtime_room_imports_the_extension, {"src/symc/ir/a.py": "import symc._runtime"}),
    (
        only_the_runtime_room_imports_the_extension,
        {"src/symc/ir/a.py": "from symc import _runtime"},
    ),
    (passes_say_before_and_after, {"src/symc/passes/a.py": PASS}),
    (passes_have_golden_files, {"src/symc/passes/a.py": PASS}),
    (every_error_is_tested, {"tests/test_a.py": "from symc import ShapeError"}),
]
RULES = list(dict.fromkeys(rule for rule, _ in SAMPLES))


@pytest.fixture(scope="module")
def files() -> Files:
    return repository()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house(rule: Rule, files: Files) -> None:
    wrong = rule(files)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("rule", "sample"), SAMPLES, ids=lambda value: getattr(value, "__name__", "")
)
def test_rule_sees_its_sample(rule: Rule, sample: Files) -> None:
    assert rule(sample)


def test_rules_let_good_code_pass() -> None:
    good = {
        "src/symc/passes/a.py": f'"""A.\n\nbefore: x\nafter: y\n"""\n{PASS}mode = "add"\n',
        "tests/golden/a/one.ir": "",
        "tests/test_a.py": "with pytest.raises("
        + ", ".join(f"sc.{name}" for name in sorted(error_classes()))
        + "): ...",
        "docs/a.md": "TODO(#12): see /usr/include and $HOME/work/x",
    }
    assert [complaint for rule in RULES for complaint in rule(good)] == []


def test_the_repository_is_seen(files: Files) -> None:
    for name in ("src/symc/ir/core.py", "cpp/runtime/bindings.cpp", "Makefile", ".ci/run", SELF):
        assert name in files
    assert passes(files)
    assert error_classes()
