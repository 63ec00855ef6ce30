"""What a run leaves, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bench.errors import CrossfireError
from bench.files import write_atomic

Method = Literal["bc", "gail", "gail-gp", "l2l", "l2l-unrolled"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Plan:
    """What a run is: two runs with the same plan have the same result."""

    task: str
    method: Method
    seed: int
    steps: int
    """Environment steps."""
    episodes: int
    """Episodes that the expert demonstrates."""
    thin: int
    """One step in so many is known, as in Ho & Ermon (2016), who took one in 20."""

    @property
    def common(self) -> dict[str, Any]:
        """What the runs of one report share."""
        return {k: v for k, v in asdict(self).items() if k not in ("method", "seed")}


@dataclass(frozen=True)
class Result:
    """A finished run."""

    plan: Plan
    curve: list[tuple[int, float]]
    """Environment steps, and the mean score of the episodes that were played up to them."""
    evaluation: list[float]
    """The last policy's scores."""

    @classmethod
    def read(cls, path: Path) -> "Result":
        """The result in the file at `path`.

        Raises:
            CrossfireError: the file is damaged.
        """
        try:
            found = json.loads(path.read_text())
            curve = [(int(steps), float(score)) for steps, score in found["curve"]]
            return cls(Plan(**found["plan"]), curve, found["evaluation"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CrossfireError(f"{path} is damaged ({error}); delete it") from None

    def write(self, path: Path) -> None:
        """Keep the result in the file at `path`."""
        rounded = {
            "plan": asdict(self.plan),
            "curve": [(steps, round(score, 3)) for steps, score in self.curve],
            "evaluation": [round(score, 3) for score in self.evaluation],
        }
        write_atomic(path, (json.dumps(rounded) + "\n").encode())


def read_results(folder: Path, wanted: Mapping[str, Any] | None = None) -> list[Result]:
    """All results of a folder, by method and seed.

    Raises:
        CrossfireError: one is damaged, or its options are not the wanted ones, or the others'.
    """
    paths = [path for method in METHODS for path in folder.glob(f"{method}-[0-9]*.json")]
    found = [(path, Result.read(path)) for path in paths]
    if found and wanted is None:
        wanted = found[0][1].plan.common
    for path, result in found:
        check_options(path, result.plan.common, wanted or {})
    results = [result for _, result in found]
    return sorted(results, key=lambda run: (METHODS.index(run.plan.method), run.plan.seed))


def check_options(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compare the options of two runs.

    Raises:
        CrossfireError: they differ; the message names the first difference.
    """
    for name, value in wanted.items():
        if found[name] != value:
            raise CrossfireError(
                f"{path} is of a run with {name} {found[name]}, not {value}; "
                "choose another folder with --out"
            )
