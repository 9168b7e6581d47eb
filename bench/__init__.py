"""Benchmarks: one workload per file, peers measured in the same run and interleaved."""
