"""What Ray's workers run for a campaign; it imports little, so that they start quickly."""

import tempfile
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

from bench.campaign.process import child, end, threads
from bench.files import write_atomic

SECONDS_BETWEEN_KEEPS = 30.0
Files = dict[str, bytes]
"""Relative path -> content."""


class Keeper:
    """Reads and writes files below a campaign's folder, for tasks on other machines."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def give(self, names: list[str]) -> Files:
        """The files, and all files in the folders, of these names."""
        return collected(self._folder, names)

    def take(self, log: str, said: bytes, files: Files, gone: list[str]) -> None:
        """Keep a log and files; remove those that the task has removed."""
        write_atomic(Path(log), said)
        for name, content in files.items():
            write_atomic(self._folder / name, content)
        for name in gone:
            (self._folder / name).unlink(missing_ok=True)


def collected(folder: Path, names: list[str]) -> Files:
    """The files, and all files in the folders, of these names below `folder`."""
    found: Files = {}
    for name in names:
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not file.name.startswith("."):
                inside = file.relative_to(path) if path.is_dir() else ""
                found[str(Path(name) / inside)] = file.read_bytes()
    return found


def train(
    keeper: Any,  # noqa: ANN401
    log: str,
    words: list[str],
    names: list[str],
    model: str,
    cpus: str,
) -> int:
    """The task: run a training's command in a folder of its own, and return its exit code.

    `names` are the files that it reads, `model` the folder that it writes. The process is killed
    when the task is.
    """
    import ray

    with tempfile.TemporaryDirectory() as scratch:
        # Names that lead upwards must not lead out of the scratch folder.
        depth = max(name.split("/").count("..") for name in [*names, model])
        folder = Path(scratch, *["d"] * depth)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ray.get(keeper.give.remote([*names, model])).items():
            write_atomic(folder / name, content)
        said = Path(scratch) / "said.log"
        with said.open("wb") as stream:
            process = child(words, folder, threads(cpus), stream)
        try:
            return _watched(process, Copy(ray, keeper, folder, model, log, said))
        finally:
            end(process)


class Copy:
    """What of a task's folder the keeper has."""

    def __init__(
        self,
        ray: Any,  # noqa: ANN401
        keeper: Any,  # noqa: ANN401
        folder: Path,
        model: str,
        log: str,
        said: Path,
    ) -> None:
        self._ray, self._keeper = ray, keeper
        self._folder, self._model = folder, model
        self._log, self._said = log, said
        self._kept = collected(folder, [model])

    def progress(self) -> None:
        """Send what the process said."""
        self._send({}, [])

    def files(self) -> None:
        """Send what changed as well."""
        files = collected(self._folder, [self._model])
        fresh = {
            name: content for name, content in files.items() if self._kept.get(name) != content
        }
        self._send(fresh, [name for name in self._kept if name not in files])
        self._kept = files

    def _send(self, fresh: Files, gone: list[str]) -> None:
        self._ray.get(self._keeper.take.remote(self._log, self._said.read_bytes(), fresh, gone))


def _watched(process: Popen[bytes], copy: Copy) -> int:
    last = time.monotonic()
    while (code := process.poll()) is None:
        if time.monotonic() - last > SECONDS_BETWEEN_KEEPS:
            copy.files()
            last = time.monotonic()
        else:
            copy.progress()
        time.sleep(1)
    copy.files()
    return code
