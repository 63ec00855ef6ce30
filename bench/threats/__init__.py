"""Threat models: norms, budgets and, for torch, `geometry`."""

from bench.threats.budgets import BUDGETS, budget_dataset, budget_set, guess_dataset, resolve
from bench.threats.threat import NORMS, Norm, Threat

__all__ = [
    "BUDGETS",
    "NORMS",
    "Norm",
    "Threat",
    "budget_dataset",
    "budget_set",
    "guess_dataset",
    "resolve",
]
