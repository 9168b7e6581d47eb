"""The data models: types, SSA functions, op records, text, oracle, nests, programs."""
