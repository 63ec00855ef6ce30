"""What the adversary may do: norms, budgets and, for torch, `geometry`."""

from bench.threats.budgets import BUDGETS, budget_home, budget_set, guess_dataset, resolve
from bench.threats.threat import NORMS, Norm, Threat

__all__ = [
    "BUDGETS",
    "NORMS",
    "Norm",
    "Threat",
    "budget_home",
    "budget_set",
    "guess_dataset",
    "resolve",
]
