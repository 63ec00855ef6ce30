"""The time of the command line to start and to rank ten thousand records, and of an evaluation
without its attacks: a network that misclassifies all of 128 images of CIFAR-10's size.

    python benchmarks/report.py

Each command runs in its own process. The time is CPU time, on an idle machine the waiting time, and
the minimum of several runs, because other load can only increase it. Exits with 1 if a limit is
exceeded.
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDS, EXAMPLES, RUNS = 10_000, 1_000, 3
MOST_SECONDS = {"--help": 0.3, "report": 4.0, "evaluate": 3.0, "evaluate --dry-run": 5.0}
MOST_MEMORY = {"--help": 500, "report": 500}
MISSED, ATTACKED = 128, 128
ARCH = "preactresnet10-w16"
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


def subject(folder: Path) -> None:
    """Images of CIFAR-10's number and shape, and an untrained network that misclassifies the first
    `MISSED` test images and classifies the next `ATTACKED` correctly."""
    import numpy as np
    import torch

    from bench.models import build
    from bench.models.checkpoint import Metadata, save

    torch.manual_seed(0)
    shape = {"classes": 10, "channels": 3, "size": (32, 32)}
    network = build(ARCH, **shape).eval()  # type: ignore[arg-type]
    about: dict[str, Any] = {"defense": "undefended", "config": {}, "dataset": "npz", "arch": ARCH}
    about |= {"data_sha256": "", "threats": (), "selected_on": "", "versions": {}, "commit": None}
    cost = dict.fromkeys(
        ("epoch", "epochs", "seed", "forward_passes", "backward_passes", "seconds"), 0
    )
    save(folder, "best", network, Metadata(**about, **shape, **cost))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 64, (n, 32, 32, 3)).astype(np.uint8) for n in (50_000, 10_000))
    labels = np.arange(10_000) % 10
    with torch.no_grad():
        images = torch.from_numpy(test[: MISSED + ATTACKED]).permute(0, 3, 1, 2) / 255
        labels[: MISSED + ATTACKED] = network(images).argmax(1).numpy()
    labels[:MISSED] = (labels[:MISSED] + 1) % 10
    arrays = {"x_train": train, "y_train": np.arange(50_000) % 10, "x_test": test, "y_test": labels}
    np.savez_compressed(folder / "images.npz", **arrays)  # type: ignore[arg-type]


def evaluations(folder: Path) -> list[tuple[str, ...]]:
    """The arguments of an evaluation without examples to attack, and of an estimate."""
    what = str(folder / "best.safetensors")
    how = ("--threat", "linf", "--suite", "crossfire", "--device", "cpu", "--display", "none")
    where = ("--dataset", f"npz:{folder / 'images.npz'}", "--board", str(folder / "board"))
    return [
        ("evaluate", what, "--examples", str(MISSED), *how, *where),
        ("evaluate", "--dry-run", what, "--examples", str(MISSED + ATTACKED), *how, *where),
    ]


def measure(*arguments: str, board: Path | None = None) -> tuple[float, float]:
    """CPU seconds of the fastest run, and the largest memory of any run in MB. The `board` of the
    run before is deleted, because finished evaluations are not repeated."""
    seconds, memory = [], []
    environment = {"OMP_NUM_THREADS": "1"} | os.environ
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # it would compile torch at each start
    for _ in range(RUNS):
        if board is not None:
            shutil.rmtree(board, ignore_errors=True)
        process = subprocess.Popen(
            [*BENCH, *arguments], stdout=subprocess.DEVNULL, cwd=ROOT, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(usage.ru_utime + usage.ru_stime)
        memory.append(usage.ru_maxrss / 1024)
        if status:
            sys.exit(f"{' '.join(arguments)} failed")
    return min(seconds), max(memory)


def report(name: str, limit: str, measured: tuple[float, float]) -> bool:
    """Print one line; return whether the limits are kept."""
    seconds, memory = measured
    print(f"bench {name:26} {seconds:6.2f} s {memory:6.0f} MB", flush=True)
    return seconds < MOST_SECONDS[limit] and memory < MOST_MEMORY.get(limit, memory + 1)


def apart(work: Callable[[Path], None], folder: Path) -> None:
    """Run it in its own process: Linux counts a parent's memory for its children too."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=(folder,))
    process.start()
    process.join()


def main() -> int:
    """Print the figures; 1 if one of them is too large."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        apart(generate, folder)
        kept = [report("--help", "--help", measure("--help"))]
        for form in ("terminal", "markdown", "csv"):
            words = ("report", "--format", form)
            kept.append(report(" ".join(words), "report", measure(*words, "--board", name)))
        apart(subject, folder)
        for command in evaluations(folder):
            limit = " ".join(command[: 1 + ("--dry-run" in command)])
            kept.append(report(limit, limit, measure(*command, board=folder / "board")))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
