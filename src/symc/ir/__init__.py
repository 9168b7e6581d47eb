"""The program: sizes, types, values, nodes, operations, their text, and the oracle."""
