"""What the runs of a method say together: means over seeds with intervals, and stability.

Intervals are Student's over seeds: with five of them a bootstrap would be too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from scipy.stats import t as student

from imitation_learning.results import Result

Interval = tuple[float, float, float]
"""Mean, and the lower and the upper end of its 95 % interval."""


@dataclass(frozen=True)
class Summary:
    """One method."""

    method: str
    seeds: int
    final: Interval
    """Over seeds: the last policy's mean score."""
    worst: float
    """The seed whose last policy is the worst."""
    last_fifth: Interval | None
    """Over seeds: the mean score of the episodes in the last fifth of training."""
    deviation: float | None
    """Root mean square over seeds of the deviation of rounds in the last fifth."""
    above_gail: Interval | None
    """Over seeds: how much the last fifth is above that of `gail`, by Welch's interval."""
    curve: list[tuple[int, Interval]]
    """Over seeds: the mean score of each round, by its environment steps."""


def interval(values: Sequence[float]) -> Interval:
    """The mean and its 95 % interval; of a single value nothing is known but itself."""
    if len(values) < 2:
        return values[0], -math.inf, math.inf
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return mean(values), mean(values) - half, mean(values) + half


def difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """mean(first) − mean(second), with Welch's 95 % interval."""
    gap = mean(first) - mean(second)
    if min(len(first), len(second)) < 2:
        return gap, -math.inf, math.inf
    parts = [stdev(values) ** 2 / len(values) for values in (first, second)]
    if not sum(parts):
        return gap, gap, gap
    shares = zip(parts, (first, second), strict=True)
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in shares)
    half = float(student.ppf(0.975, freedom)) * math.sqrt(sum(parts))
    return gap, gap - half, gap + half


def scores_of_last_fifth(result: Result) -> list[float]:
    """The scores of the rounds in the last fifth of training, of one round at least."""
    scores = [score for _, score in result.curve]
    return scores[-max(len(scores) // 5, 1) :]


def summaries(results: Sequence[Result]) -> list[Summary]:
    """One for each method, in the order in which they come."""
    methods: list[str] = list(dict.fromkeys(result.plan.method for result in results))
    runs = {name: [run for run in results if run.plan.method == name] for name in methods}
    return [_summary(name, runs[name], runs.get("gail", [])) for name in methods]


def _summary(method: str, runs: Sequence[Result], gail: Sequence[Result]) -> Summary:
    final = [mean(run.evaluation) for run in runs]
    late_scores = [mean(scores_of_last_fifth(run)) for run in runs if run.curve]
    gail_scores = [mean(scores_of_last_fifth(run)) for run in gail]
    deviations = [_deviation(scores_of_last_fifth(run)) for run in runs if run.curve]
    compared = late_scores and gail_scores and method != "gail"
    rounds = min(len(run.curve) for run in runs)
    return Summary(
        method,
        len(runs),
        interval(final),
        min(final),
        interval(late_scores) if late_scores else None,
        math.sqrt(mean(x**2 for x in deviations)) if deviations else None,
        difference(late_scores, gail_scores) if compared else None,
        [(runs[0].curve[k][0], interval([run.curve[k][1] for run in runs])) for k in range(rounds)],
    )


def _deviation(scores: Sequence[float]) -> float:
    return stdev(scores) if len(scores) > 1 else 0.0
