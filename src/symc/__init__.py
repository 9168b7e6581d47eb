"""symc: a tensor compiler.  Symbolic and traced array programs become fast native code.

`import symc as sc`; everything public is here.
"""

from symc.frontend.activation import log_softmax, logsumexp, one_hot, softmax
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
from symc.frontend.dims import Dim
from symc.frontend.einsum import einsum
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
from symc.frontend.expr import Expr
from symc.frontend.function import Function, function
from symc.frontend.gathering import take, take_along_axis
from symc.frontend.gradients import Lop, Rop
from symc.frontend.jit import Jit, jit
from symc.frontend.linalg import dot, matmul, outer, tensordot, vecdot
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
from symc.frontend.settings import options
from symc.frontend.shared import Shared, shared
from symc.frontend.spec import (
    Spec,
    bfloat16,
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
from symc.frontend.statistical import all, any, argmax, argmin, max, mean, min, prod, std, sum
from symc.frontend.transforms import grad, hvp, jvp, linearize, value_and_grad, vjp
from symc.frontend.variables import var
from symc.ir.errors import (
    CompileError,
    DisconnectedGradError,
    DomainError,
    DTypeError,
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

bool = bool_

