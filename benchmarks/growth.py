"""Time and memory of an evaluation as the number of images grows.

    python benchmarks/growth.py CHECKPOINT DATASET [SUITE]

Each size runs in its own process, on the first held-out and training images, so that data sets with
few test images suffice. Nothing is compiled, so that the compiler's memory is not counted.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench import evaluate
from bench.data import load
from bench.models.sources import find

SIZES = (256, 1024, 4096)


def measure(checkpoint: str, dataset: str, size: int, suite: str) -> str:
    """One row: images, seconds, milliseconds per image, and the growth of memory in MiB."""
    data = load(dataset)
    images = torch.cat([data.heldout.images, data.train.images])[:size].clone()
    labels = torch.cat([data.heldout.labels, data.train.labels])[:size]
    model = find(checkpoint, data).model
    Path("/proc/self/clear_refs").write_text("5")  # resets Linux's peak of the memory
    before = peak()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        evaluate(
            model,
            images,
            labels,
            threat="linf:8/255",
            suites=(suite,),
            compiled=False,
            journal=Path(folder),
            display="none",
        )
    seconds = time.perf_counter() - began
    return f"| {size} | {seconds:.1f} | {1000 * seconds / size:.1f} | {peak() - before:.0f} |"


def peak() -> float:
    """The peak memory of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (most,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(most) / 1024


if __name__ == "__main__":
    if len(sys.argv) == 5:
        sys.stdout.write(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]) + "\n")
    else:
        suite = sys.argv[3] if len(sys.argv) > 3 else "crossfire"
        sys.stdout.write("| images | seconds | ms/image | MiB more |\n|--:|--:|--:|--:|\n")
        sys.stdout.flush()
        for size in SIZES:
            command = [sys.executable, *sys.argv[:3], str(size), suite]
            subprocess.run(command, check=True)
