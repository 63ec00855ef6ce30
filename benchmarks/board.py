"""Trains and measures every defense on a scene, with several seeds: what results.md is made of.

    python benchmarks/board.py digits --seeds 5 --minutes 240
    python benchmarks/board.py cifar10 --seeds 3 --minutes 120 --dataset npz:cifar10.npz

Best checkpoints go on the project's own board, with adversarial images of digits for the first
seed and weights for the last; last epochs, other recipes, and what AutoAttack says, on the board
`leaderboard/further` beside it. Enter it again after an interruption, or with more minutes: what is
done is not done again. Seeds come in turn, so that what there is at any time compares all defenses.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCH = Path(sys.executable).with_name("bench")

SCENES = {
    "digits": "--dataset digits",
    "cifar10": "--dataset cifar10 --arch preactresnet10-w16 --examples 10000 --epochs 4 "
    "--batch-size 64",
}
EXAMPLES = {"digits": "450", "cifar10": "256"}
ATTACKER = {"digits": "", "cifar10": "--width 16"}
"""A learned attacker of the classifier's size."""
BOARD, FURTHER = ROOT / "leaderboard" / "published", ROOT / "leaderboard" / "further"

ONE_THREAT = {
    "undefended": "undefended",
    "at": "at",
    "at-l2": "at --threat l2",
    "at-l1": "at --threat l1",
    "at-averaged": "at --average 0.99",
    "at-awp": "at --awp 0.005",
    "trades": "trades",
    "mart": "mart",
    "fgsm-rs": "fgsm-rs",
    "n-fgsm": "n-fgsm",
    "free": "free --epochs 5",
    "gradalign": "gradalign",
    "mat-linf": "mat --threat linf",
    "mat-linf-averaged": "mat --threat linf --average 0.99",
    "cat": "cat",
    "l2l": "l2l {width}",
    "l2l-two-step": "l2l --variant two-step {width}",
    "ard": "teacher-student --variant ard --teacher {at}",
    "rslad": "teacher-student --variant rslad --teacher {at}",
    "adaad": "teacher-student --variant adaad --teacher {at}",
    "active": "teacher-student --variant active --teacher {at}",
    "active-labels": "teacher-student --variant active --ask labels --teacher {at}",
    "active-all": "teacher-student --variant active --queries 1 --teacher {at}",
}
SEVERAL_THREATS = {
    "avg": "avg",
    "avg-averaged": "avg --average 0.99",
    "max": "max",
    "msd": "msd",
    "sat": "sat",
    "e-at": "e-at",
    "ramp": "ramp",
    "mat": "mat",
    "mat-averaged": "mat --average 0.99",
}
SWITCHES = {
    "mat-alpha-0": "mat --alpha 0",
    "mat-alpha-0.25": "mat --alpha 0.25",
    "mat-alpha-0.75": "mat --alpha 0.75",
    "mat-temperature-2": "mat --temperature 2",
    "mat-by-specialists": "mat --examples-by specialists",
    "mat-by-both": "mat --examples-by both",
    "mat-ask-specialists": "mat --specialists-ask specialists",
    "mat-ask-all": "mat --specialists-ask all",
    "mat-linf-alpha-0": "mat --threat linf --alpha 0",
    "mat-linf-alpha-0.25": "mat --threat linf --alpha 0.25",
    "mat-linf-alpha-0.75": "mat --threat linf --alpha 0.75",
    "mat-linf-temperature-2": "mat --threat linf --temperature 2",
    "mat-linf-three": "mat --threat linf --networks 3",
    "mat-linf-own": "mat --threat linf --labels-on own --lessons-on own",
    "mat-linf-peer": "mat --threat linf --labels-on own --lessons-on peer",
    "mat-linf-add": "mat --threat linf --combine add --labels-on own --lessons-on own",
    "mat-linf-warm-up": "mat --threat linf --warm-up 0.5",
    "l2l-by-example": "l2l --normalise example {width}",
    "l2l-five-updates": "l2l --attacker-steps 5 {width}",
    "l2l-by-example-five-updates": "l2l --normalise example --attacker-steps 5 {width}",
}
"""What the papers leave open; trained with the first seed alone."""
RUNS = ONE_THREAT | SEVERAL_THREATS | SWITCHES

EVERY_SEED = (
    *("undefended", "at", "at-l2", "at-l1", "trades", "mat-linf", "l2l", "l2l-two-step"),
    *("rslad", "adaad", "active", "avg", "max", "msd", "e-at", "mat"),
)
"""The others are trained with the first seed alone, and stay off the board."""


def main() -> None:
    """Train, then measure, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--dataset", help="where the scene's images are, if not in its cache")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", choices=RUNS, help="of these every seed")
    parser.add_argument("--all", action="store_true", help="the other defenses and switches too")
    parser.add_argument("--autoattack", action="store_true", help="measure the first seed by it")
    parser.add_argument(
        "--trial", type=Path, help="a folder of its own, for best checkpoints alone"
    )
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    scene = Scene(given.scene, given.dataset, given.seeds, until, given.trial)
    threads = str(max(1, (os.cpu_count() or 1) // given.workers))
    os.environ |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with ThreadPoolExecutor(given.workers) as pool:
        for seed in range(given.seeds):
            names = given.only or (RUNS if given.all and seed == 0 else EVERY_SEED)
            longest = given.autoattack and seed == 0
            # The teacher first: distillation needs it.
            for group in (["at"], [name for name in names if name != "at"]):
                list(pool.map(lambda name: scene.run(name, seed, longest), group))  # noqa: B023


class Scene:
    """The runs of one data set, below a folder of their own."""

    def __init__(
        self,
        name: str,
        dataset: str | None,
        seeds: int,
        deadline: float,
        trial: Path | None = None,
    ) -> None:
        self.name, self.newest, self.deadline, self.trial = name, seeds - 1, deadline, trial
        self.folder = (trial or ROOT / "build" / "results") / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = SCENES[name].split()
        if dataset:
            self.settings[1] = dataset

    def run(self, name: str, seed: int, autoattack: bool) -> None:
        """Train one defense with one seed, and measure its checkpoints."""
        out = f"{name}-{seed}"
        recipe = RUNS[name]
        words = recipe.format(at=f"at-{seed}", width=ATTACKER[self.name]).split()
        self.bench("train", words[0], *self.settings, *words[1:], "--seed", seed, "--out", out)
        if self.trial:
            single = name in ONE_THREAT or words[0] == "l2l" or "--threat" in words
            more = ("--no-images", "--threat", "linf" if single else "union")
            self.measure(out, "best", "pgd-100,crossfire", self.trial / "board", *more)
            return
        board = BOARD if name in EVERY_SEED else FURTHER
        shown = seed == 0 and self.name == "digits" and board == BOARD
        kept = ["--keep-weights"] if seed == self.newest and board == BOARD else []
        images = "--images" if shown else "--no-images"
        self.measure(out, "best", "pgd-100,crossfire", board, images, *kept)
        self.measure(out, "last", "pgd-100", FURTHER, "--no-images")
        if autoattack:
            self.measure(out, "best", "autoattack", FURTHER, "--no-images")

    def measure(self, out: str, tag: str, suite: str, board: Path, *more: str) -> None:
        """Put one checkpoint on a board."""
        data = self.settings[:2]
        where = ("--board", os.path.relpath(board, self.folder), "--examples", EXAMPLES[self.name])
        self.bench("evaluate", f"{out}/{tag}.safetensors", "--suite", suite, *data, *where, *more)

    def bench(self, *words: object) -> None:
        """Run a command, if there is time; it is killed when that is up, and can go on later."""
        left = self.deadline - time.monotonic()
        if left < 5:
            return
        arguments = [str(word) for word in words]
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"bench {' '.join(arguments)}\n")
            log.flush()
            command = [str(BENCH), *arguments, "--display", "none"]
            try:
                subprocess.run(
                    command, cwd=self.folder, stdout=log, stderr=log, timeout=left, check=False
                )
            except subprocess.TimeoutExpired:
                log.write("out of time\n")


if __name__ == "__main__":
    main()
