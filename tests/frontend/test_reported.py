"""What reviewers reported, each as they wrote it."""

from __future__ import annotations

import numpy as np
import pytest

import symc as sc


def test_an_index_beyond_a_symbolic_size_is_an_index_error() -> None:
    x = sc.var("x", "f64[n]")
    f = sc.function([x], x[99])
    assert f(np.arange(100.0)) == 99
    with pytest.raises(sc.SymcIndexError, match="at least 100") as caught:
        f(np.arange(5.0))
    assert "test_reported.py" in str(caught.value)


def test_the_maximum_over_an_empty_symbolic_axis_is_a_domain_error() -> None:
    x = sc.var("x", "f64[n]")
    f = sc.function([x], sc.max(x))
    with pytest.raises(sc.DomainError, match="at least 1"):
        f(np.zeros(0))


def test_a_static_argument_may_be_given_by_keyword() -> None:
    seen = []

    @sc.jit(static_argnums=(1,))
    def f(x: object, n: object) -> object:
        seen.append(n)
        return x * n

    assert f(np.ones(2), n=3).tolist() == [3, 3]
    assert seen == [3]


@pytest.mark.parametrize(
    "options", [{"threads": "2"}, {"threads": True}, {"trust_input": "no"}, {"opt": 7}]
)
def test_options_of_a_wrong_type_are_refused(options: dict[str, object]) -> None:
    x = sc.var("x", "f64[3]")
    with pytest.raises(sc.DomainError, match=r"option(.|\n)*at: .*test_reported.py"):
        sc.function([x], x * 2, **options)
