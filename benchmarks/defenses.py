"""Trains and measures every defense on a scene, with several seeds: what results.md is made of.

    python benchmarks/defenses.py digits --seeds 5 --minutes 60
    python benchmarks/defenses.py cifar10 --seeds 3 --minutes 120 --dataset npz:cifar10.npz

Enter it again after an interruption, or with more minutes: what is done is not done again. Seeds
come in turn, so that what there is at any time compares all defenses.
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
    "cifar10": "--dataset cifar10 --arch preactresnet10-w16 --examples 10000 --epochs 5 "
    "--batch-size 64",
}
SUITES = {"digits": "pgd-100,crossfire", "cifar10": "pgd-100,crossfire"}
EXAMPLES = {"digits": "450", "cifar10": "500"}

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
    "l2l": "l2l",
    "l2l-two-step": "l2l --variant two-step",
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
}
"""What the papers leave open; trained with the first seed alone."""


def main() -> None:
    """Train, then measure, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--dataset", help="where the scene's images are, if not in its cache")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="*", help="names of runs")
    parser.add_argument("--switches", action="store_true", help="MAT's open choices too")
    given = parser.parse_args()
    deadline = time.monotonic() + 60 * given.minutes
    folder = ROOT / "build" / "results" / given.scene
    folder.mkdir(parents=True, exist_ok=True)
    runs = ONE_THREAT | SEVERAL_THREATS
    names = [(name, seed) for seed in range(given.seeds) for name in runs]
    if given.switches:
        names += [(name, 0) for name in SWITCHES]
    if given.only:
        names = [(name, seed) for name, seed in names if name in given.only]
    settings = SCENES[given.scene].split()
    if given.dataset:
        settings[1] = given.dataset

    def work(run: tuple[str, int]) -> None:
        name, seed = run
        out = folder / f"{name}-{seed}"
        words = (runs | SWITCHES)[name].format(at=folder / f"at-{seed}").split()
        train = ["train", *words[:1], *settings, *words[1:], "--seed", str(seed)]
        _bench([*train, "--out", str(out)], folder, deadline)
        for tag, suites in (("best", SUITES[given.scene]), ("last", "pgd-100")):
            measure = ["evaluate", str(out / f"{tag}.safetensors"), "--suite", suites]
            if given.dataset:
                measure += ["--dataset", given.dataset]
            examples = EXAMPLES[given.scene]
            _bench(
                [*measure, "--examples", examples, "--board", str(folder / "board")],
                folder,
                deadline,
            )

    # Teachers first: distillation needs them.
    names.sort(key=lambda run: (run[1], run[0] != "at"))
    threads = str(max(1, (os.cpu_count() or 1) // given.workers))
    os.environ |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with ThreadPoolExecutor(given.workers) as pool:
        for seed in range(given.seeds):
            list(pool.map(work, [run for run in names if run == ("at", seed)]))
            list(pool.map(work, [run for run in names if run[1] == seed and run[0] != "at"]))


def _bench(arguments: list[str], folder: Path, deadline: float) -> None:
    """Run one command, if there is time; it is killed when the time is up, and can go on later."""
    left = deadline - time.monotonic()
    if left < 5:
        return
    with (folder / "commands.log").open("a") as log:
        log.write(f"bench {' '.join(arguments)}\n")
        log.flush()
        command = [str(BENCH), *arguments, "--display", "none"]
        try:
            subprocess.run(command, stdout=log, stderr=log, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            log.write("out of time\n")


if __name__ == "__main__":
    main()
