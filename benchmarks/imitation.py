"""P-values of the imitation study's methods, and the noise of so few episodes.

    python benchmarks/imitation.py

From the results beside docs/explanation/imitation.md: of every two methods Welch's p of their last
policies, of their last fifths of training and of the deviations of rounds there; Holm's of the last
fifths of each method beside GAIL's on all tasks; and the deviations beside those that rounds would
have if a policy stood still, by the spread of the last policy's episodes.
"""

import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev, variance

from scipy.stats import ttest_ind

from imitation_learning.results import Method, Result, read_results
from imitation_learning.summary import scores_of_last_fifth, summaries
from imitation_learning.tasks import TASKS
from leaderboard.separation import holm

STUDIES = Path(__file__).parents[1] / "docs" / "explanation" / "imitation"
MEASURES: dict[str, Callable[[Result], float]] = {
    "last policy": lambda run: mean(run.evaluation),
    "last fifth": lambda run: mean(scores_of_last_fifth(run)),
    "deviation there": lambda run: stdev(scores_of_last_fifth(run)),
}


def welch(runs: list[Result], a: Method, b: Method, measure: str) -> float:
    """Welch's two-sided p, over seeds; NaN where a method has no curve."""
    first, second = ([run for run in runs if run.plan.method == name] for name in (a, b))
    if measure != "last policy" and not (first[0].curve and second[0].curve):
        return math.nan
    of = MEASURES[measure]
    return float(ttest_ind(list(map(of, first)), list(map(of, second)), equal_var=False).pvalue)


def noise(runs: list[Result], episodes: int) -> float:
    """The deviation of a round's mean over seeds' last policies, each standing still."""
    return math.sqrt(mean(variance(run.evaluation) for run in runs) / episodes)


def main() -> None:
    """Print all tables."""
    against_gail: dict[str, float] = {}
    for folder in sorted(STUDIES.iterdir()):
        runs = read_results(folder)
        print(f"{folder.name}\n\n| a | b | {' | '.join(MEASURES)} |\n|---|---|--:|--:|--:|")
        for a, b in combinations(dict.fromkeys(run.plan.method for run in runs), 2):
            found = {measure: welch(runs, a, b, measure) for measure in MEASURES}
            print(f"| {a} | {b} | {' | '.join(f'{p:.2g}' for p in found.values())} |")
            if a == "gail":
                against_gail[f"{folder.name} {b}"] = found["last fifth"]
        print("\n| method | deviation there | of episodes alone |\n|---|--:|--:|")
        for summary in summaries(runs):
            if summary.deviation:
                own = [run for run in runs if run.plan.method == summary.method]
                still = noise(own, TASKS[folder.name].envs)
                print(f"| {summary.method} | {summary.deviation:.1f} | {still:.1f} |")
        print()
    print("| last fifth beside that of gail | p | Holm |\n|---|--:|--:|")
    for (name, p), corrected in zip(
        against_gail.items(), holm(list(against_gail.values())), strict=True
    ):
        print(f"| {name} | {p:.2g} | {corrected:.2g} |")


if __name__ == "__main__":
    main()
