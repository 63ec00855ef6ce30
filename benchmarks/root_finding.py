"""The ℓ1 projection's threshold by `bench.threats.root_finding` and by scipy, on the CPU.

    OMP_NUM_THREADS=1 python benchmarks/root_finding.py

128 images of 3 x 32 x 32 with ε = 12, one thread. Prints the least CPU time of 15 runs, and how
far the ℓ1 norms lie above or below ε: a projection must not lie above.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize.elementwise import find_root as scipy_find_root
from torch import Tensor

from bench.threats.geometry import room
from bench.threats.root_finding import find_root

EPS, SHARE, RUNS = 12.0, 1e-5, 15


def main() -> None:
    """Time both and print a row each."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(128, 3072, generator=generator)
    delta = 0.1 * torch.randn(128, 3072, generator=generator)
    size, limit = delta.abs(), room(x, delta)
    goal, highest = torch.full((128, 1), EPS), size.amax(1, keepdim=True)

    def norm(threshold: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        moved = torch.minimum((size[rows] - threshold).clamp_min(0), limit[rows])
        return moved.sum(1, keepdim=True)

    def ours() -> Tensor:
        return find_root(norm, goal, highest, torch.zeros_like(highest), SHARE)

    def scipys() -> Tensor:
        def excess(threshold: np.ndarray, rows: np.ndarray) -> np.ndarray:
            column = torch.from_numpy(threshold.astype(np.float32))[:, None]
            return (norm(column, torch.from_numpy(rows))[:, 0] - EPS).double().numpy()

        bracket = np.zeros(128), highest[:, 0].double().numpy()
        found = scipy_find_root(
            excess, bracket, args=(np.arange(128),), tolerances={"fatol": SHARE * EPS}
        )
        return torch.from_numpy(found.x).float()[:, None]

    for name, search in (("ours", ours), ("scipy", scipys)):
        excess = norm(search()) / EPS - 1
        milliseconds = 1000 * min(seconds(search) for _ in range(RUNS))
        print(f"{name}: {milliseconds:.1f} ms, {float(excess.min()):.1e} to {excess.max():.1e}")


def seconds(search: Callable[[], Tensor]) -> float:
    """CPU time of one run."""
    began = time.process_time()
    search()
    return time.process_time() - began


if __name__ == "__main__":
    main()
