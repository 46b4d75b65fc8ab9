"""Benchmarks: ratios within one run, against a named peer and against the machine's limit. `make bench`."""
