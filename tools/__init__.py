"""Programs for developers: fitting polynomials, timing, mutation testing."""
