"""Mutation testing: small wrong changes made by machine, and whether the tests see them."""
