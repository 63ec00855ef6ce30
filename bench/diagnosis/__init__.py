"""Checks whether a robust accuracy is reliable: of the model, of the attacks on it, and of both
together. Each check returns a `leaderboard.diagnosis.Check` with threshold, value, verdict and
advice."""

from bench.diagnosis.run import diagnose, examine

__all__ = ["diagnose", "examine"]
