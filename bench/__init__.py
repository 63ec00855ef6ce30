"""Trains adversarial defenses, evaluates them under one protocol, and keeps a verifiable
leaderboard."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.evaluation.evaluator import evaluate
    from bench.evaluation.outcome import Outcome

__all__ = ["Outcome", "evaluate"]

_MODULES = {"evaluate": "bench.evaluation.evaluator", "Outcome": "bench.evaluation.outcome"}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import torch only when an evaluation is requested."""
    import importlib

    if name not in _MODULES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
