"""Two Ray workers of one thread each against one: the same evaluation, the same flags.

    python benchmarks/workers.py MODEL DATASET EXAMPLES [SUITE]

Each number of workers has its own Ray cluster on this machine. The evaluation is timed without
loading model and data, after a first run that starts the workers. Run it on an idle machine. Exits
with 1 if flags differ or two workers are less than 1.8 times as fast as one.
"""

import sys
import tempfile
import time
from pathlib import Path

import ray

from bench import cluster
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.outcome import Outcome
from bench.evaluation.settings import Settings
from bench.measurement import Measurement

ROUNDS, WANTED = 3, 1.8


def run(evaluation: Evaluation) -> tuple[float, Outcome]:
    """Seconds and the outcome."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), evaluation.key)
        began = time.perf_counter()
        outcome = cluster.run(evaluation, "auto", journal)
        return time.perf_counter() - began, outcome


def main(model: str, dataset: str, examples: str, suite: str = "pgd-100") -> bool:
    """Compare and print; return whether two workers are fast enough."""
    settings = Settings(suites=(suite,), dataset=dataset, device="cpu")
    _, evaluation = Measurement(settings, examples=int(examples)).prepare(model)
    fastest: dict[int, float] = {}
    flags = set()
    for _ in range(ROUNDS):
        for workers in (1, 2):
            ray.init(
                address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False
            )
            run(evaluation)
            seconds, outcome = run(evaluation)
            fastest[workers] = min(seconds, fastest.get(workers, seconds))
            flags.add(b"".join(column.robust.tobytes() for column in outcome.columns.values()))
            ray.shutdown()
            sys.stdout.write(f"{workers} workers: {seconds:.1f} s\n")
    ratio = fastest[1] / fastest[2]
    same = len(flags) == 1
    sys.stdout.write(f"{ratio:.2f} times as fast; flags {'equal' if same else 'differ'}\n")
    return same and ratio >= WANTED


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
