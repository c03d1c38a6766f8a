"""Benchmarks of the simulation against what its users would write instead; `python -m tests.benchmarks --help`."""
