"""Simulates the queue of `bench evaluate --ray` with measured costs, to choose the chunk size.

    python benchmarks/chunks.py EVIDENCE.parquet...

Costs differ a hundredfold between examples: some are broken at the first step, others are robust to
all attacks. The columns `passes` of evidence tables are the measured costs; the queue is sorted by
`margin`. A step of a batch of m images takes A + B m seconds; a chunk starts its longest examples
together, refills its slots, and has its overhead once. Prints, for each machine, number of examples
(under three threats, all at once) and number of workers, the efficiency by chunk size: the time
that full batches without interruption would need, as a share of the workers' time.
"""

import heapq
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from click import echo

SIZES = (16, 64, 256, 1024, 4096)
WORKERS = (1, 8, 64)
EXAMPLES = (1_000, 10_000, 50_000)


@dataclass(frozen=True)
class Machine:
    """Seconds: `a` per step, `b` per image and step, `overhead` per chunk; `slots` per batch."""

    name: str
    a: float
    b: float
    slots: int
    overhead: float


MACHINES = (
    Machine("CPU core, PreActResNet-18 (measured)", 0.063, 0.0166, 128, 0.2),
    Machine("H200, PreActResNet-18 (from its FLOPs)", 0.008, 2e-5, 1024, 0.1),
    Machine("H200, WRN-28-10 (from its FLOPs)", 0.015, 1.2e-4, 1024, 0.4),
    Machine("H200, ResNet-50 at 224x224 (from its FLOPs)", 0.012, 1e-4, 512, 0.4),
)
CAMPAIGNS = ((MACHINES[1], 10_000, 100), (MACHINES[2], 10_000, 100), (MACHINES[3], 50_000, 10))


def measured(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Margins and steps of every attacked example of every column."""
    margins, steps = [], []
    for file in files:
        table = pd.read_parquet(file)
        for column in table.columns:
            if column.endswith("/passes"):
                attacked = table[column] > 0
                margins.append(table["margin"][attacked])
                steps.append(table[column][attacked] // 2 + 1)
    return np.concatenate(margins), np.concatenate(steps).astype(int)


def seconds(steps: np.ndarray, machine: Machine) -> float:
    """The time of a worker for a chunk."""
    free = [0] * min(machine.slots, len(steps))
    for length in steps:
        heapq.heappush(free, heapq.heappop(free) + int(length))
    return machine.overhead + machine.a * max(free) + machine.b * float(steps.sum())


def makespan(chunks: list[float], workers: int) -> float:
    """The time until the last worker ends, if each takes the next chunk when it is free."""
    free = [0.0] * workers
    for chunk in chunks:
        heapq.heappush(free, heapq.heappop(free) + chunk)
    return max(free)


def hours(steps: np.ndarray, machine: Machine, workers: int, size: int) -> float:
    """Hours of `workers` for a queue of chunks of `size`."""
    firsts = range(0, len(steps), size)
    chunks = [seconds(steps[first : first + size], machine) for first in firsts]
    return makespan(chunks, workers) / 3600


def ours(pieces: int, machine: Machine, workers: int) -> int:
    """The size that `bench.cluster.pool` chooses."""
    return max(16, min(4 * machine.slots, pieces // (3 * workers)))


def together(steps: np.ndarray, machine: Machine, workers: int, models: int) -> float:
    """Hours for several models whose chunks share the queue."""
    size = ours(len(steps), machine, 1)
    chunks = [seconds(steps[first : first + size], machine) for first in range(0, len(steps), size)]
    return makespan(sorted(chunks * models, reverse=True), workers) / 3600


def main(files: list[Path]) -> None:
    """Print tables in Markdown: efficiency by chunk size with the hours at ours, and campaigns."""
    margins, steps = measured(files)
    levels = ", ".join(map(str, np.percentile(steps, [10, 50, 90, 100]).astype(int)))
    echo(f"{len(steps)} costs, percentiles 10, 50, 90, 100 in steps: {levels}")
    rng = np.random.RandomState(0)

    def draw(examples: int) -> np.ndarray:
        drawn = rng.randint(0, len(steps), 3 * examples)
        return steps[drawn[np.argsort(-margins[drawn], kind="stable")]]

    for machine in MACHINES:
        echo(f"\n{machine.name}\n")
        echo("| examples | workers | " + " | ".join(map(str, SIZES)) + " | ours | hours |")
        echo("|--:" * (len(SIZES) + 4) + "|")
        for examples in EXAMPLES:
            chosen = draw(examples)
            least = float(chosen.sum()) * (machine.b + machine.a / machine.slots) / 3600
            for workers in WORKERS:
                size = ours(len(chosen), machine, workers)
                spent = [hours(chosen, machine, workers, s) for s in (*SIZES, size)]
                shares = " | ".join(f"{least / workers / time:.0%}" for time in spent)
                echo(f"| {examples:,} | {workers} | {shares} ({size}) | {spent[-1]:.2f} |")
    echo("\n| campaign | workers | one model after the other | models side by side |")
    echo("|---|--:|--:|--:|")
    for machine, examples, models in CAMPAIGNS:
        chosen = draw(examples)
        for workers in WORKERS:
            size = ours(len(chosen), machine, workers)
            after = models * hours(chosen, machine, workers, size)
            beside = together(chosen, machine, workers, models)
            name = f"{models} models, {examples:,} examples, {machine.name}"
            echo(f"| {name} | {workers} | {after:.2f} h | {beside:.2f} h |")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
