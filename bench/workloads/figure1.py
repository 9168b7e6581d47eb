"""Theano's 2012 paper, Figure 1: training steps of three classifiers at minibatch 1, 10 and 60."""

from __future__ import annotations

from collections.abc import Iterator

from bench.case import Case
from bench.models import BUILDERS, Spec
from bench.peers import installed

MODELS = {
    "softmax": (784, 10),
    "one hidden layer": (784, 500, 10),
    "three hidden layers": (784, 1000, 1000, 1000, 10),
}
AT_BATCH_1 = {"softmax": 2.0, "one hidden layer": 1.5, "three hidden layers": 2.0}


def cases(threads: int) -> Iterator[Case]:
    for model, sizes in MODELS.items():
        for batch in (1, 10, 60):
            spec = Spec(sizes, batch)
            names = ("symc", *(n for n in installed() if n in BUILDERS))
            steps = {name: BUILDERS[name](spec, threads) for name in names}
            target = AT_BATCH_1[model] if batch == 1 and threads == 1 else 1.0
            yield Case(f"{model}, batch {batch}", steps, batch, "example", target)
