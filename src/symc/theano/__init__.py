"""Theano's interface to loops, on top of `sc.scan`: `symc.theano.scan` and its short forms.

Names and arguments are Theano's; what differs is an error that says so.
"""

from symc.theano.returned import until
from symc.theano.scanning import foldl, foldr, map, reduce, scan

__all__ = ["foldl", "foldr", "map", "reduce", "scan", "until"]
