"""How long the command line takes to start, and to rank ten thousand records.

    python benchmarks/report.py

Each command runs in a process of its own. What counts is processor time, which on an idle machine
is the time that a reader waits; of several runs the fastest, since whatever else the machine does
only ever adds. Exits with 1 when a promise isn't kept.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORDS, EXAMPLES, RUNS = 10_000, 1_000, 3
MOST_SECONDS, MOST_MEMORY = {"--help": 0.3, "report": 3.0}, 500
BENCH = (sys.executable, "-c", "from bench.cli import main; main()")


def generate(folder: Path) -> None:
    """Ten thousand records of 5,000 recipes with two seeds each, without evidence."""
    sys.path.insert(0, str(ROOT))
    from leaderboard.schema import to_json
    from tests.records import make_record

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
        (records / f"{record.id[:16]}.json").write_text(to_json(record))


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
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: Linux counts the memory of a parent for its children too.
        generating = multiprocessing.get_context("spawn").Process(
            target=generate, args=(Path(folder),)
        )
        generating.start()
        generating.join()
        forms = [("report", "--format", form) for form in ("terminal", "markdown", "csv")]
        for words in [("--help",), *forms]:
            board = ("--board", folder) if words[0] == "report" else ()
            seconds, memory = measure(*words, *board)
            kept &= seconds < MOST_SECONDS[words[0]] and memory < MOST_MEMORY
            print(f"bench {' '.join(words):26} {seconds:6.2f} s {memory:6.0f} MB")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
