"""Stress tests: kills, many writers, a full disk, and changed files.

    python benchmarks/torture.py kills --times 1000
    python benchmarks/torture.py ray --times 10         # needs the extra `cluster`
    python benchmarks/torture.py writers
    python benchmarks/torture.py disk                   # needs root: mounts a small file system
    python benchmarks/torture.py changes --times 2000

Each prints its counts and exits with 1 if data were lost, results differed, or a change was not
found. Commands run in forks of one process that has imported everything, so that a restart after a
kill is fast.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from torture_files import changes

import bench.evaluation.engine
import bench.training.run
from bench.cli import main as command_line
from bench.verify import verify
from leaderboard.releases import latest
from leaderboard.store import Board

TRAIN = "train at --arch cnn-w4 --epochs 5 --steps 1 --threat linf:0.05 --out net"
EVALUATE = "evaluate net --threat linf:0.05,l2:0.2 --examples 64"
RELEASE = "release"
VERIFY = "verify"
COMMANDS = (TRAIN, EVALUATE, RELEASE, VERIFY)
QUIET = ("--display", "none")


def words(command: str) -> list[str]:
    """The command line of one of `COMMANDS` in the current folder."""
    if command == RELEASE:
        return [command]
    records = map(str, Path("board/records").glob("*.json")) if command == VERIFY else ()
    return [*command.split(), *records, *QUIET]


def fork(command: list[str], log: Path | None = None) -> int:
    """Start a command in a fork; its process id."""
    child = os.fork()
    if not child:
        target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        try:
            command_line(command)
        except SystemExit as done:
            os._exit(int(done.code or 0))
        finally:
            os._exit(70)
    return child


def wait(child: int, seconds: float | None = None) -> int | None:
    """The exit code of a process; None if it had to be killed after so many seconds."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while (ended := os.waitpid(child, os.WNOHANG if deadline else 0))[0] == 0:
        if deadline and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(ended[1])


def killed(command: str, usual: float) -> tuple[int, int]:
    """Kill a command at random times and run it again until it ends: kills, exit code."""
    kills, patience = 0, usual / 2
    while (code := wait(fork(words(command)), random.uniform(0, patience))) is None:
        kills, patience = kills + 1, 1.15 * patience
    return kills, code


def results(folder: Path) -> dict[str, object]:
    """The results that must not depend on kills."""
    board = Board(folder / "board")
    (record,) = board.records()
    return {
        "flags": dict(record.measured),
        "weights": record.model.weights_sha256,
        "damaged": board.read().damaged,
        "releases": latest(board),
        "outcome": verify(board.path(record)).outcome,
    }


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[Path]:
    """A new folder as the current folder, removed at the end."""
    before = Path.cwd()
    folder.mkdir()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def kills(folder: Path, times: int) -> bool:
    """Train, evaluate, release and verify, with `times` kills in all."""
    # Save often, so that kills of a short run hit every state of a long one.
    bench.evaluation.engine.SAVE_EVERY = bench.training.run.SECONDS_BETWEEN_SAVES = 0.05
    usual, count, wrong, rounds = {}, Counter[str](), [], 0
    with inside(folder / "uninterrupted") as calm:
        for command in COMMANDS:
            began = time.monotonic()
            assert wait(fork(words(command), Path("log"))) == 0, Path("log").read_text()
            usual[command] = time.monotonic() - began
        expected = results(calm)
    while count.total() < times:
        with inside(folder / "killed") as rough:
            for command in COMMANDS:
                done, code = killed(command, usual[command])
                count[command.split()[0]] += done
                # A release killed after its last write exists already, which is no failure.
                if code and not (command == RELEASE and done):
                    wrong.append(f"{command} ended with {code}")
            found = results(rough)
            wrong += [f"{name} differs" for name in expected if found[name] != expected[name]]
        rounds += 1
    print(f"{count.total()} kills in {rounds} rounds: {dict(count)}; {len(wrong)} wrong {wrong}")
    return not wrong


def ray_kills(place: Path, times: int) -> bool:
    """An evaluation on a cluster of two workers, its process killed, until it ends."""
    import ray

    port = 26379
    start = ["ray", "start", "--head", f"--port={port}", "--num-cpus=2", "--disable-usage-stats"]
    subprocess.run(start, check=True, capture_output=True)
    try:
        with inside(place / "ray") as folder:
            assert wait(fork(words(TRAIN))) == 0
            assert wait(fork(words(EVALUATE))) == 0
            expected = results(folder)["flags"]
            shutil.rmtree("board")
            command = f"{EVALUATE} --ray 127.0.0.1:{port}"
            began = time.monotonic()
            assert wait(fork(words(command), Path("log"))) == 0
            usual, done = time.monotonic() - began, 0
            shutil.rmtree("board")
            while done < times or not list(Path("board/records").glob("*.json")):
                patience = random.uniform(0, usual) if done < times else None
                code = wait(fork(words(command), Path("log")), patience)
                done += code is None
                if code == 0 and done < times:
                    shutil.rmtree("board")
            same = results(folder)["flags"] == expected
    finally:
        subprocess.run(["ray", "stop", "--force"], check=True, capture_output=True)
    print(
        f"ray {ray.__version__}: {done} kills of an evaluation that takes {usual:.0f} s; "
        f"flags {'equal' if same else 'differ'}"
    )
    return same


def writers(place: Path, times: int) -> bool:
    """Eight processes append records to one board and release it at once."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.records import make_record, make_table

    board, children = Board(place / "board"), []
    for number in range(8):
        child = os.fork()
        if not child:
            for repeat in range(times // 8):
                record = make_record(f"at-{number}-{repeat}", seed=number)
                board.append(record, make_table(record), None)
                wait(fork(["release", "--board", str(board.folder)]))
            os._exit(0)
        children.append(child)
    codes = [wait(child) for child in children]
    contents = board.read()
    numbers = sorted(int(path.stem) for path in (board.folder / "releases").glob("[0-9]*.json"))
    whole = numbers == list(range(1, len(numbers) + 1))
    print(
        f"8 writers: {len(contents.records)} of {times // 8 * 8} records readable, "
        f"{len(contents.damaged)} damaged, {len(numbers)} releases numbered without a gap: {whole}"
    )
    good = len(contents.records) == times // 8 * 8 and not contents.damaged and whole
    return good and codes == [0] * 8


def disk(place: Path, times: int) -> bool:
    """Each command on a file system with little free space, more each round; then with enough
    space."""
    outcomes, wrong, expected = Counter[str](), list[str](), None
    for round_ in range(times + 1):
        folder = place / "small"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
        before = Path.cwd()
        os.chdir(folder)
        try:
            for command in COMMANDS:
                kilobytes = round_ and 12 * round_ - 8
                refused, messages = _command_on_full_disk(command, kilobytes, place / "log")
                outcomes[command.split()[0]] += refused
                wrong += messages
            found = results(folder) if not wrong else None
            expected = expected or found
            if found != expected:
                wrong.append(f"round {round_}: other results")
        finally:
            os.chdir(before)
            subprocess.run(["umount", folder], check=True)
            folder.rmdir()
    print(
        f"{times} rounds on full disks, refused: {dict(outcomes)}; {len(wrong)} wrong {wrong[:5]}"
    )
    return not wrong


def _command_on_full_disk(command: str, kilobytes: int, log: Path) -> tuple[bool, list[str]]:
    """Whether a command was refused with so many free kilobytes (0: enough space), and what went
    wrong then, or afterwards with enough space."""
    wrong, refused = [], False
    if kilobytes:
        used = shutil.disk_usage(".").used // 1024
        _resize(f"{used + kilobytes}k")
        code = wait(fork(words(command), log))
        refused = code == 2
        if refused and len(log.read_text().strip().splitlines()) != 1:
            wrong.append(f"{command} printed {log.read_text()[-300:]}")
        _resize("64m")
        if code == 0:
            return False, wrong
    if code := wait(fork(words(command), log)):
        wrong.append(f"{command} ended with {code}: {log.read_text()[-300:]}")
    return refused, wrong


def _resize(size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", Path.cwd()], check=True)


def changed(place: Path, times: int) -> bool:
    """Every change of a single value of a record, and flipped bits of its evidence."""
    with inside(place / "changes") as folder:
        for command in (TRAIN, EVALUATE):
            assert wait(fork(words(command))) == 0
        lines, good = changes(folder / "board", times)
        print(*lines, sep="\n")
    return good


TESTS = {"kills": kills, "ray": ray_kills, "writers": writers, "disk": disk, "changes": changed}
TIMES = {"kills": 1000, "ray": 10, "writers": 200, "disk": 40, "changes": 2000}


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=TESTS)
    parser.add_argument("--times", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random.seed(given.seed)
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import sklearn.datasets  # noqa: F401

    import bench.measurement  # noqa: F401

    with tempfile.TemporaryDirectory() as place:
        good = TESTS[given.what](Path(place), given.times or TIMES[given.what])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
