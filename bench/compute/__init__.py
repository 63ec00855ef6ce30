"""Arithmetic, compilation, CPU threads and memory, and reproducible random numbers."""
