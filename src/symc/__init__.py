"""symc: a tensor compiler.  Symbolic and traced array programs become fast native code.

`import symc as sc`; everything public is here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from symc.frontend import methods as _methods  # noqa: F401  (fills the table of methods)
from symc.frontend import spec as _spec
from symc.frontend.activation import (
    log_softmax,
    logsumexp,
    one_hot,
    softmax,
)
from symc.frontend.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from symc.frontend.dims import (
    Dim,
)
from symc.frontend.einsum import (
    einsum,
)
from symc.frontend.elementwise import (
    abs,
    add,
    bitwise_and,
    bitwise_invert,
    bitwise_or,
    bitwise_xor,
    ceil,
    clip,
    cos,
    divide,
    equal,
    exp,
    exp2,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    pow,
    reciprocal,
    relu,
    remainder,
    round,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    stop_gradient,
    subtract,
    tanh,
    trunc,
    where,
)
from symc.frontend.expr import (
    Expr,
)
from symc.frontend.function import (
    Function,
    function,
)
from symc.frontend.gathering import (
    take,
    take_along_axis,
)
from symc.frontend.gradients import (
    Lop,
    Rop,
)
from symc.frontend.jit import (
    Jit,
    jit,
)
from symc.frontend.linalg import (
    dot,
    matmul,
    outer,
    tensordot,
    vecdot,
)
from symc.frontend.manipulation import (
    astype,
    broadcast_arrays,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
    unstack,
)
from symc.frontend.settings import (
    options,
)
from symc.frontend.shared import (
    Shared,
    shared,
)
from symc.frontend.spec import (
    Spec,
    bool_,
    complex64,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    spec,
    uint8,
    uint16,
    uint32,
    uint64,
)
from symc.frontend.statistical import (
    all,
    any,
    argmax,
    argmin,
    max,
    mean,
    min,
    prod,
    std,
    sum,
)
from symc.frontend.transforms import (
    grad,
    jvp,
    linearize,
    value_and_grad,
    vjp,
)
from symc.frontend.variables import (
    var,
)
from symc.ir.errors import (
    CompileError,
    DisconnectedGradError,
    DomainError,
    DTypeError,
    GradientMismatchError,
    MissingInputError,
    NonFiniteError,
    OpContractError,
    ParseError,
    ShapeError,
    SymcError,
    SymcIndexError,
    SymcOverflowError,
    SymcZeroDivisionError,
    TracerError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from symc.frontend import optimize as optimize
    from symc.frontend.associative import (
        associative_scan,
    )
    from symc.frontend.batching import (
        vmap,
    )
    from symc.frontend.checkpoint import (
        checkpoint,
        checkpoint_name,
    )
    from symc.frontend.control import (
        cond,
        fori_loop,
        ifelse,
        map,
        scan,
        switch,
        while_loop,
    )
    from symc.frontend.custom import (
        custom_jvp,
        custom_vjp,
    )
    from symc.frontend.draw import (
        draw,
    )
    from symc.frontend.grad_check import (
        check_grads,
    )
    from symc.frontend.jacobians import (
        hessian,
        jacfwd,
        jacobian,
        jacrev,
    )
    from symc.frontend.products import (
        ggn_vp,
        hvp,
    )
    from symc.frontend.snapshots import (
        checkpoints,
    )

bool = bool_


# What `import symc` does without: public names by the module that has them.
_LATE: Final = {
    "associative_scan": "symc.frontend.associative",
    "check_grads": "symc.frontend.grad_check",
    "checkpoint": "symc.frontend.checkpoint",
    "checkpoint_name": "symc.frontend.checkpoint",
    "checkpoints": "symc.frontend.snapshots",
    "cond": "symc.frontend.control",
    "custom_jvp": "symc.frontend.custom",
    "custom_vjp": "symc.frontend.custom",
    "draw": "symc.frontend.draw",
    "fori_loop": "symc.frontend.control",
    "ggn_vp": "symc.frontend.products",
    "hessian": "symc.frontend.jacobians",
    "hvp": "symc.frontend.products",
    "ifelse": "symc.frontend.control",
    "jacfwd": "symc.frontend.jacobians",
    "jacobian": "symc.frontend.jacobians",
    "jacrev": "symc.frontend.jacobians",
    "map": "symc.frontend.control",
    "scan": "symc.frontend.control",
    "switch": "symc.frontend.control",
    "vmap": "symc.frontend.batching",
    "while_loop": "symc.frontend.control",
}
_MODULES: Final = {"optimize": "symc.frontend.optimize", "theano": "symc.theano"}


def __getattr__(name: str) -> Any:
    """Public names whose modules are loaded when they are first asked for."""
    if name in _LATE:
        globals()[name] = found = getattr(import_module(_LATE[name]), name)
        return found
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name == "bfloat16":
        return _spec.bfloat16
    raise AttributeError(f"module 'symc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE, *_MODULES})


__all__ = [
    "CompileError",
    "DTypeError",
    "Dim",
    "DisconnectedGradError",
    "DomainError",
    "Expr",
    "Function",
    "GradientMismatchError",
    "Jit",
    "Lop",
    "MissingInputError",
    "NonFiniteError",
    "OpContractError",
    "ParseError",
    "Rop",
    "ShapeError",
    "Shared",
    "Spec",
    "SymcError",
    "SymcIndexError",
    "SymcOverflowError",
    "SymcZeroDivisionError",
    "TracerError",
    "UnsupportedError",
    "abs",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "asarray",
    "associative_scan",
    "astype",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_or",
    "bitwise_xor",
    "bool",
    "bool_",
    "broadcast_arrays",
    "broadcast_to",
    "ceil",
    "check_grads",
    "checkpoint",
    "checkpoint_name",
    "checkpoints",
    "clip",
    "complex64",
    "complex128",
    "concat",
    "cond",
    "cos",
    "custom_jvp",
    "custom_vjp",
    "divide",
    "dot",
    "draw",
    "einsum",
    "empty",
    "empty_like",
    "equal",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "eye",
    "flip",
    "float16",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "fori_loop",
    "full",
    "full_like",
    "function",
    "ggn_vp",
    "grad",
    "greater",
    "greater_equal",
    "hessian",
    "hvp",
    "ifelse",
    "int8",
    "int16",
    "int32",
    "int64",
    "isfinite",
    "isinf",
    "isnan",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "less",
    "less_equal",
    "linearize",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "map",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "optimize",
    "options",
    "outer",
    "permute_dims",
    "positive",
    "pow",
    "prod",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "roll",
    "round",
    "scan",
    "shared",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "spec",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "swapaxes",
    "switch",
    "take",
    "take_along_axis",
    "tanh",
    "tensordot",
    "tile",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unstack",
    "value_and_grad",
    "var",
    "vecdot",
    "vjp",
    "vmap",
    "where",
    "while_loop",
    "zeros",
    "zeros_like",
]
