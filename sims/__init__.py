"""The random wing of flatmin: generated kernels, measurements, verdicts."""
