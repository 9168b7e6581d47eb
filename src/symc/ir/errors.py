"""Typed errors.  Every message: subject, got, expected, the user's `file:line`, what to change.

Each class also derives from the Python class that NumPy would have raised, so that existing
`except ValueError` code keeps working.  Messages have at most six lines.
"""

from __future__ import annotations


class SymcError(Exception):
    """Root of all errors that symc raises on purpose."""


class ShapeError(SymcError, ValueError):
    """Ranks or sizes that do not fit together."""


class DomainError(SymcError, ValueError):
    """A value or attribute outside the operation's domain."""


class MissingInputError(SymcError, ValueError):
    """An output depends on a variable that is not among the inputs."""


class OpContractError(SymcError, ValueError):
    """An operation or a user's rule returned something other than it declared."""


class DisconnectedGradError(SymcError, ValueError):
    """A derivative was asked for with respect to something the cost does not depend on."""


class GradientMismatchError(OpContractError, AssertionError):
    """`check_grads`: a derivative differs from differences of the function."""


class DTypeError(SymcError, TypeError):
    """A dtype that the operation or the input does not take."""


class TracerError(SymcError, TypeError):
    """A symbolic value was used where Python needs a concrete one, or outside its trace."""


class SymcIndexError(SymcError, IndexError):
    """An index out of range."""


class SymcOverflowError(SymcError, OverflowError):
    """A number or a size that does not fit its type."""


class SymcZeroDivisionError(SymcError, ZeroDivisionError):
    """Integer division by zero, under `check=`."""


class NonFiniteError(SymcError, ArithmeticError):
    """A NaN or infinity appeared, under `check="nan"`."""


class ParseError(SymcError, ValueError):
    """Malformed text or bytes: IR, program, cache entry, spec."""


class CompileError(SymcError, RuntimeError):
    """The compiler could not finish; always a defect of symc or of the machine's set-up."""


class UnsupportedError(SymcError, NotImplementedError):
    """A combination that symc does not offer; the message says what to use instead."""


def message(
    subject: str,
    *,
    got: object = None,
    expected: object = None,
    where: object = None,
    advice: str | None = None,
) -> str:
    """Compose a message in the one form that all errors have."""
    lines = [subject]
    if got is not None:
        lines.append(f"  got: {got}")
    if expected is not None:
        lines.append(f"  expected: {expected}")
    if where is not None and str(where):
        lines.append(f"  at: {where}")
    if advice is not None:
        lines.append(f"  try: {advice}")
    return "\n".join(lines)


def placed(error: SymcError, where: object) -> SymcError:
    """`error` with the user's `file:line` in its message, if it has none yet."""
    lines = str(error).split("\n")
    if not str(where) or any(line.startswith("  at: ") for line in lines):
        return error
    before = 1 if lines[-1].startswith("  try: ") else 0
    lines.insert(len(lines) - before, f"  at: {where}")
    return type(error)("\n".join(lines))
