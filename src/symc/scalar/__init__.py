"""The scalar room: the builder protocol, its NumPy builder, and the math library."""
