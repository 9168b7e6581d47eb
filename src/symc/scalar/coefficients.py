"""Minimax coefficients of the math library, lowest degree first.

Written by `tools/fit_minimax.py`; change them there.  Every number is exact in its format.
"""

from __future__ import annotations

from typing import Final


def _hex(*digits: str) -> tuple[float, ...]:
    return tuple(float.fromhex(text) for text in digits)


HALF_PI_F32: Final = _hex(
    "0x1.921fb40000000p+0",
    "0x1.4442d00000000p-24",
    "0x1.8469880000000p-48",
)
LN2_FULL_F32: Final = _hex(
    "0x1.62e42e0000000p-1",
    "0x1.efa39e0000000p-25",
)
HALF_PI_F64: Final = _hex(
    "0x1.921fb54442d18p+0",
    "0x1.1a62633145c06p-54",
    "0x1.c1cd129024e08p-107",
)
LN2_FULL_F64: Final = _hex(
    "0x1.62e42fefa39efp-1",
    "0x1.abc9e3b39803fp-56",
)
TWO_PI: Final = _hex(
    "0x1.921fb54442d18p+2",
    "0x1.1a62633145c06p-52",
)
LOG2_E: Final = _hex(
    "0x1.71547652b82fep+0",
    "0x1.777d0ffda0d23p-56",
)
LOG10_E: Final = _hex(
    "0x1.bcb7b1526e50ep-2",
    "0x1.95355baaafad3p-57",
)
LOG10_2: Final = _hex(
    "0x1.34413509f6000p-2",
    "0x1.9fef311f12b36p-42",
)
# Two zero words, then 2/pi.
TWO_OVER_PI: Final = (
    0x00000000,
    0x00000000,
    0xA2F9836E,
    0x4E441529,
    0xFC2757D1,
    0xF534DDC0,
    0xDB629599,
    0x3C439041,
    0xFE5163AB,
    0xDEBBC561,
    0xB7246E3A,
    0x424DD2E0,
    0x06492EEA,
    0x09D1921C,
    0xFE1DEB1C,
    0xB129A73E,
    0xE88235F5,
    0x2EBB4484,
    0xE99C7026,
    0xB45F7E41,
    0x3991D639,
    0x835339F4,
    0x9C845F8B,
    0xBDF9283B,
    0x1FF897FF,
    0xDE05980F,
    0xEF2F118B,
    0x5A0A6D1F,
    0x6D367ECF,
    0x27CB09B7,
    0x4F463F66,
    0x9E5FEA2D,
    0x7527BAC7,
    0xEBE5F17B,
    0x3D0739F7,
    0x8A5292EA,
    0x6BFB5FB1,
    0x1F8D5D08,
    0x56033046,
)

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

# largest weighted error 2^-26.92
EXP_SHARP_F32: Final = _hex(
    "0x1.ffffee0000000p-2",
    "0x1.5554b60000000p-3",
    "0x1.5565a00000000p-5",
    "0x1.1222940000000p-7",
    "0x1.5ff8520000000p-10",
)

# largest weighted error 2^-28.16
EXPM1_F32: Final = _hex(
    "0x1.0000000000000p-1",
    "0x1.55552c0000000p-3",
    "0x1.5555020000000p-5",
    "0x1.11568a0000000p-7",
    "0x1.6d2d160000000p-10",
    "0x1.38e8460000000p-13",
)

# largest weighted error 2^-60.46
EXPM1_F64: Final = _hex(
    "0x1.0000000000000p-1",
    "0x1.5555555555559p-3",
    "0x1.555555555555cp-5",
    "0x1.111111110f627p-7",
    "0x1.6c16c16c11f83p-10",
    "0x1.a01a01b022cf2p-13",
    "0x1.a01a01c46f5d4p-16",
    "0x1.71ddf7a63ed2bp-19",
    "0x1.27e48a9aace92p-22",
    "0x1.af600ba095096p-26",
    "0x1.20092d395cc74p-29",
)

# largest weighted error 2^-27.58
LOG_F32: Final = _hex(
    "0x1.5555a40000000p-2",
    "-0x1.0000460000000p-2",
    "0x1.99695e0000000p-3",
    "-0x1.54ed840000000p-3",
    "0x1.28848e0000000p-3",
    "-0x1.0da5400000000p-3",
    "0x1.ad0bd80000000p-4",
    "-0x1.71e9be0000000p-5",
)

# largest weighted error 2^-27.63
LOG2_F32: Final = _hex(
    "-0x1.7154760000000p-1",
    "0x1.ec70220000000p-2",
    "-0x1.71549c0000000p-2",
    "0x1.27a0060000000p-2",
    "-0x1.ec851e0000000p-3",
    "0x1.9d9d240000000p-3",
    "-0x1.6cdfa40000000p-3",
    "0x1.9e14740000000p-3",
    "-0x1.661a160000000p-3",
)

# largest weighted error 2^-27.55
LOG10_F32: Final = _hex(
    "-0x1.bcb7b00000000p-3",
    "0x1.287a280000000p-3",
    "-0x1.bcb90c0000000p-4",
    "0x1.63f9600000000p-4",
    "-0x1.285a4e0000000p-4",
    "0x1.f1dd660000000p-5",
    "-0x1.bbfd2a0000000p-5",
    "0x1.f356160000000p-5",
    "-0x1.9b234c0000000p-5",
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

# largest weighted error 2^-34.35
LOG_RATIO_SHORT: Final = _hex(
    "0x1.55555422a20dfp-1",
    "0x1.999bdb3ec1225p-2",
    "0x1.23e9ba6ac16f1p-2",
    "0x1.ed89a672c74fep-3",
)

# largest weighted error 2^-27.39
LOG_RATIO_F32: Final = _hex(
    "0x1.5555b40000000p-1",
    "0x1.992aaa0000000p-2",
    "0x1.36ec800000000p-2",
)

# largest weighted error 2^-73.73
LOG_TABLE_F64: Final = _hex(
    "0x1.5555555555555p-2",
    "-0x1.0000000000043p-2",
    "0x1.99999999b1743p-3",
    "-0x1.555555491d745p-3",
    "0x1.24923abb4141bp-3",
    "-0x1.00058b5a3e0bdp-3",
    "0x1.cc4496855d275p-4",
)

# largest weighted error 2^-28.67
TANH_F32: Final = _hex(
    "0x1.8000060000000p+1",
    "0x1.3332ba0000000p+0",
    "-0x1.7505660000000p-8",
    "0x1.dad2980000000p-13",
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

# largest weighted error 2^-27.95
SIN_F32: Final = _hex(
    "-0x1.5555460000000p-3",
    "0x1.1107700000000p-7",
    "-0x1.994f520000000p-13",
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
    "0x1.99e0ee0000000p-16",
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
