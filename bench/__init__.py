"""Train adversarial defenses, attack them by one standard, keep a leaderboard others can check."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.evaluation.evaluator import evaluate
    from bench.evaluation.outcome import Outcome

__all__ = ["Outcome", "evaluate"]

_HOMES = {"evaluate": "bench.evaluation.evaluator", "Outcome": "bench.evaluation.outcome"}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import torch only when an evaluation is asked for."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
