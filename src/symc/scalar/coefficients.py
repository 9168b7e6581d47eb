"""Minimax coefficients of the math library, lowest degree first.

Written by `tools/fit_minimax.py`; change them there.  Every number is exact in its format.
"""

from __future__ import annotations

from typing import Final


def _hex(*digits: str) -> tuple[float, ...]:
    return tuple(float.fromhex(text) for text in digits)


# largest weighted error 2^-28.22
EXP_F32: Final = _hex(
    "0x1.fffffc0000000p-2",
    "0x1.55548c0000000p-3",
    "0x1.5558580000000p-5",
    "0x1.123de60000000p-7",
    "0x1.6ac7900000000p-10",
)

# largest weighted error 2^-57.89
EXP_F64: Final = _hex(
    "0x1.000000000000ap-1",
    "0x1.5555555555503p-3",
    "0x1.5555555550605p-5",
    "0x1.1111111124d28p-7",
    "0x1.6c16c184b5b08p-10",
    "0x1.a01a013d6327ap-13",
    "0x1.a019988b56f37p-16",
    "0x1.71def3bdb8877p-19",
    "0x1.28aedd1f011d1p-22",
    "0x1.add8d6441a578p-26",
)

# largest weighted error 2^-29.97
LOG_F32: Final = _hex(
    "0x1.5555560000000p-2",
    "-0x1.ffff020000000p-3",
    "0x1.99985e0000000p-3",
    "-0x1.559bb80000000p-3",
    "0x1.24d77a0000000p-3",
    "-0x1.f334ae0000000p-4",
    "0x1.bb506c0000000p-4",
    "-0x1.07df920000000p-3",
    "0x1.e016c40000000p-4",
)

# largest weighted error 2^-58.49
LOG_RATIO_F64: Final = _hex(
    "0x1.5555555555592p-1",
    "0x1.999999997ff1bp-2",
    "0x1.24924941e13b5p-2",
    "0x1.c71c521461c79p-3",
    "0x1.74663ceb018dcp-3",
    "0x1.39a1e8edc73eap-3",
    "0x1.2f03b9afc13edp-3",
)

# largest weighted error 2^-25.82
TANH_F32: Final = _hex(
    "-0x1.5555040000000p-2",
    "0x1.11017a0000000p-3",
    "-0x1.b816200000000p-5",
    "0x1.567e500000000p-6",
    "-0x1.c195020000000p-8",
    "0x1.55d4020000000p-10",
)

# largest weighted error 2^-59.57
TANH_F64: Final = _hex(
    "-0x1.555555555554dp-2",
    "0x1.111111111064fp-3",
    "-0x1.ba1ba1b981edep-5",
    "0x1.664f486068244p-6",
    "-0x1.226e30de33a75p-7",
    "0x1.d6d31027f81c4p-9",
    "-0x1.7d9898d3897dap-10",
    "0x1.34edc473d2762p-11",
    "-0x1.efcfd5264a279p-13",
    "0x1.7bc469e709012p-14",
    "-0x1.e9b00836d2b33p-16",
    "0x1.78aa51433b7fep-18",
)

# largest weighted error 2^-32.55
SIN_F32: Final = _hex(
    "-0x1.5555560000000p-3",
    "0x1.1111760000000p-7",
    "-0x1.a05bbc0000000p-13",
    "0x1.7cd8e40000000p-19",
)

# largest weighted error 2^-63.25
SIN_F64: Final = _hex(
    "-0x1.5555555555555p-3",
    "0x1.1111111111067p-7",
    "-0x1.a01a019ffdba1p-13",
    "0x1.71de3a32a90dbp-19",
    "-0x1.ae642ad576a48p-26",
    "0x1.6108b34290d1cp-33",
    "-0x1.9f70a33fefa63p-41",
)

# largest weighted error 2^-33.13
COS_F32: Final = _hex(
    "0x1.55554a0000000p-5",
    "-0x1.6c0c1a0000000p-10",
    "0x1.99e0f00000000p-16",
)

# largest weighted error 2^-64.19
COS_F64: Final = _hex(
    "0x1.555555555554cp-5",
    "-0x1.6c16c16c1521fp-10",
    "0x1.a01a019cbf61bp-16",
    "-0x1.27e4f812b4efep-22",
    "0x1.1ee9f150eaaefp-29",
    "-0x1.8fb12fcbe5a27p-37",
)
