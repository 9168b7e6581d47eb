"""Problems from statistics and vision, at the sizes that their papers print.

Each file states one objective once, against a small array namespace, so that every system
differentiates the same mathematics.  `bench/workloads/problems.py` times their gradients;
`tests/problems/test_problems.py` compares them with complex steps.
"""
