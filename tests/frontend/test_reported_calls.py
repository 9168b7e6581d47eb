"""What reviewers reported of calls: options, lowering, prepared calls, trust."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(130, 300)), RNG.normal(size=300)


def test_array_functions_on_arrays_follow_the_options() -> None:
    plain = sc.matmul(A, B)
    with sc.options(contract="chain"):
        chain = sc.matmul(A, B)
    wanted = sc.jit(sc.matmul, contract="chain")(A, B)
    np.testing.assert_array_equal(chain, wanted)
    np.testing.assert_array_equal(sc.matmul(A, B), plain)
    assert not np.array_equal(plain, wanted)


def test_array_functions_on_arrays_check_their_results() -> None:
    assert np.isnan(sc.log(np.array([-1.0]))[0])
    with sc.options(check="nan"), pytest.raises(sc.NonFiniteError):
        sc.log(np.array([-1.0]))
    assert np.isnan(sc.log(np.array([-1.0]))[0])


def test_transforms_on_arrays_follow_the_options() -> None:
    def cost(b: object) -> object:
        return sc.sum(sc.tanh(sc.matmul(A, b)))

    plain = sc.grad(cost)(B)
    with sc.options(contract="chain"):
        chain = sc.grad(cost)(B)
    np.testing.assert_array_equal(chain, sc.jit(sc.grad(cost), contract="chain")(B))
    np.testing.assert_array_equal(sc.grad(cost)(B), plain)
    with sc.options(check="nan"), pytest.raises(sc.NonFiniteError):
        sc.grad(lambda x: sc.sum(sc.sqrt(x)))(np.array([0.0, -1.0]))
