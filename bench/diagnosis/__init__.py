"""Is a model's number to be believed? Checks of the model, of the attack on it, and of both
together; each gives a `leaderboard.diagnosis.Check` with threshold, value, verdict and what to
do."""

from bench.diagnosis.run import diagnose, examine

__all__ = ["diagnose", "examine"]
