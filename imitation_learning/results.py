"""What a run leaves, as JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import CrossfireError
from bench.files import write_atomic


@dataclass(frozen=True)
class Result:
    """A finished run."""

    plan: dict[str, Any]
    """Task, method, seed, environment steps, episodes of the expert."""
    curve: list[tuple[int, float]]
    """Environment steps, and the mean score of the episodes that were played up to them."""
    evaluation: list[float]
    """The last policy's scores."""

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.plan["method"])

    @classmethod
    def read(cls, path: Path, plan: dict[str, Any] | None = None) -> "Result":
        """The result in the file at `path`, which must be that of `plan` if one is given.

        Raises:
            CrossfireError: it is of another plan, or damaged.
        """
        try:
            found = json.loads(path.read_text())
            result = cls(
                found["plan"], [(int(n), y) for n, y in found["curve"]], found["evaluation"]
            )
        except (OSError, ValueError, KeyError) as error:
            raise CrossfireError(f"{path} is damaged ({error}); delete it") from None
        for name, value in (plan or {}).items():
            if result.plan[name] != value:
                raise CrossfireError(
                    f"{path} is of a run with {name} {result.plan[name]}, not {value}; "
                    "choose another folder with --out"
                )
        return result

    def write(self, path: Path) -> None:
        """Keep the result in the file at `path`."""
        rounded = {
            "plan": self.plan,
            "curve": [(steps, round(score, 3)) for steps, score in self.curve],
            "evaluation": [round(score, 3) for score in self.evaluation],
        }
        write_atomic(path, (json.dumps(rounded) + "\n").encode())
