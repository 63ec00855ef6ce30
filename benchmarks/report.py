"""How long the command line takes to start, and to rank ten thousand records.

    python benchmarks/report.py

Each command runs in a process of its own. What counts is processor time, which on an idle machine
is the time that a reader waits; of several runs the fastest, since whatever else the machine does
only ever adds. Exits with 1 when a promise isn't kept.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from leaderboard.schema import to_json  # noqa: E402
from tests.records import make_record  # noqa: E402

RECORDS, EXAMPLES, RUNS = 10_000, 1_000, 3
BENCH = (sys.executable, "-c", "from bench.cli import main; main()")


def generate(folder: Path) -> None:
    """Ten thousand records of 5,000 recipes with two seeds each, without evidence."""
    records = folder / "records"
    records.mkdir()
    for number in range(RECORDS):
        recipe, seed = divmod(number, 2)
        level = 0.2 + 0.6 * recipe / RECORDS
        record = make_record(
            f"defense-{recipe:04d}",
            examples=EXAMPLES,
            accuracies=(0.9, level, level, level),
            seed=seed,
            training={"seed": seed, "epochs": 30, "threats": ["linf:8/255"]},
        )
        (records / f"{record.id[:16]}.json").write_text(to_json(replace(record, id="")))


def measure(*arguments: str) -> tuple[float, float]:
    """Processor seconds of the fastest run, and the largest memory of any run in MB."""
    seconds, memory = [], []
    for _ in range(RUNS):
        process = subprocess.Popen([*BENCH, *arguments], stdout=subprocess.DEVNULL, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(usage.ru_utime + usage.ru_stime)
        memory.append(usage.ru_maxrss / 1024)
        if status:
            sys.exit(f"{' '.join(arguments)} failed")
    return min(seconds), max(memory)


def main() -> int:
    """Print the figures; 1 when one of them is too large."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        promises = [
            (("--help",), 0.3, 500),
            *(
                (("report", "--board", folder, "--format", form), 3.0, 500)
                for form in ("terminal", "markdown", "csv")
            ),
        ]
        kept = True
        for arguments, most_seconds, most_memory in promises:
            seconds, memory = measure(*arguments)
            kept &= seconds < most_seconds and memory < most_memory
            name = " ".join(word for word in arguments if word not in ("--board", folder))
            print(f"bench {name:26} {seconds:6.2f} s {memory:6.0f} MB")  # noqa: T201
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
