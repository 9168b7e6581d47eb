"""One file per workload: `cases(threads)` yields its rows."""
