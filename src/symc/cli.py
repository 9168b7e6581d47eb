"""The command line: `python -m symc {doctor,cache,opt,explain}`.

doctor: what this machine offers and whether a kernel compiles and runs.  cache: stat, list or purge
the disk cache.  opt: run passes on a file of IR and print the result, perhaps comparing each with
the oracle.  explain: run a script and report every function that it compiled.
"""

from __future__ import annotations

import argparse
import platform
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from symc import compile as compiler
from symc.compile import opt
from symc.compile.check import self_check
from symc.compile.explain import render
from symc.compile.key import cpu_features
from symc.compile.opt import LATER
from symc.compile.page import page
from symc.ir.core import Function
from symc.ir.errors import SymcError
from symc.passes import PASSES
from symc.runtime.cache import DiskCache, Usage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (SymcError, OSError) as error:
        print(f"symc: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m symc", description="The symc tensor compiler.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="what this machine offers; compiles a test kernel")
    doctor.set_defaults(run=_doctor)
    cache = commands.add_parser("cache", help="look at or empty the disk cache")
    cache.add_argument("action", choices=("stat", "list", "purge"))
    cache.set_defaults(run=_cache)
    passes = commands.add_parser("opt", help="run passes on a file of IR")
    passes.add_argument("file", type=Path, help="a function, kernels or a program in generic form")
    known = ", ".join((*PASSES, *LATER))
    passes.add_argument("-p", "--passes", help=f"of {known}; by default those of opt=3")
    passes.add_argument("--print-after-all", action="store_true", help="print after each pass")
    passes.add_argument("--check", action="store_true", help="compare each pass with the oracle")
    passes.set_defaults(run=_opt)
    explain = commands.add_parser("explain", help="run a script and report what it compiled")
    explain.add_argument("script", type=Path)
    explain.add_argument("arguments", nargs=argparse.REMAINDER, help="of the script")
    explain.add_argument("--what", help="one section of the reports")
    explain.add_argument("--html", type=Path, help="also write the reports as a page")
    explain.set_defaults(run=_explain)
    return parser


def _doctor(_: argparse.Namespace) -> int:
    usage = DiskCache().stat()
    flags = next((s for s in cpu_features().splitlines() if "flags" in s or "Features" in s), "")
    known = ("avx2", "fma", "avx512f", "asimd")
    rows = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "vector units": " ".join(name for name in known if name in flags.split()) or "unknown",
        "cache": f"{usage.directory} ({usage.entries} entries, {usage.bytes:,} bytes)",
        "problem": _problem(usage),
        **self_check(),
    }
    for title, value in rows.items():
        print(f"{title:<14} {value}")
    return 0 if rows["kernel"] == "ok" else 1


def _problem(usage: Usage) -> str:
    """Why the cache is not used; a directory that nobody made yet is no problem."""
    there = usage.directory.exists() or usage.directory.is_symlink()
    return usage.problem if usage.problem is not None and there else "none"


def _cache(options: argparse.Namespace) -> int:
    disk = DiskCache()
    match options.action:
        case "stat":
            usage = disk.stat()
            print(f"{usage.directory}: {usage.entries} entries, {usage.bytes:,} bytes")
            print(f"limit {usage.limit:,} bytes; problem: {_problem(usage)}")
        case "list":
            for stored in disk.list():
                print(f"{stored.bytes:>10,}  {stored.name}")
        case _:
            print(f"removed {disk.purge()} entries")
    return 0


def _opt(options: argparse.Namespace) -> int:
    names = [name for name in (options.passes or "").split(",") if name]
    unknown = [name for name in names if name not in {*PASSES, *LATER}]
    if unknown:
        known = ", ".join((*PASSES, *LATER))
        print(f"symc: no pass {unknown[0]!r}; there are {known}", file=sys.stderr)
        return 2
    level = opt.read(options.file.read_text(encoding="utf-8"))
    if options.passes is None and isinstance(level.what, Function):
        names = list(opt.DEFAULT)
    for name in names:
        level = opt.run(level, name, check=options.check)
        if options.print_after_all:
            print(f"// after {name}")
            print(opt.text(level))
    if not options.print_after_all:
        print(opt.text(level))
    return 0


def _explain(options: argparse.Namespace) -> int:
    before, sys.argv = sys.argv, [str(options.script), *options.arguments]
    try:
        with compiler.recording() as compiled:
            runpy.run_path(str(options.script), run_name="__main__")
    finally:
        sys.argv = before
    for one in compiled:
        print(render(one.full_report(), options.what))
        print()
    if options.html is not None:
        options.html.write_text(page([one.page_part() for one in compiled]), encoding="utf-8")
    return 0
