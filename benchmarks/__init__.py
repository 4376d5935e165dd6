"""Benchmarks: ratios in one interleaved run, never absolute promises. `make bench` runs them and writes README.md."""
