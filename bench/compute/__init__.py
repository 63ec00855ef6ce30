"""Arithmetic, compilation, processor and memory, and reproducible random numbers."""
