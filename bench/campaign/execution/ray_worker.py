"""The code that Ray's workers run for a campaign; it imports little, so that they start quickly."""

import tempfile
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

from bench.campaign.execution.process import kill, start_bench, thread_limits
from bench.files import write_atomic

SECONDS_BETWEEN_UPLOADS = 30.0
Files = dict[str, bytes]
"""Relative path -> content."""


class FileServer:
    """Reads and writes files below a campaign's folder, for tasks on other machines."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def read(self, names: list[str]) -> Files:
        """The files, and all files in the folders, of these names."""
        return collected(self._folder, names)

    def write(self, log: str, output: bytes, files: Files, deleted: list[str]) -> None:
        """Store a log and files; delete those that the task has deleted."""
        write_atomic(Path(log), output)
        for name, content in files.items():
            write_atomic(self._folder / name, content)
        for name in deleted:
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
    server: Any,  # noqa: ANN401
    log: str,
    arguments: list[str],
    names: list[str],
    model: str,
    cpus: str,
) -> int:
    """The task: run the command of a training in a folder of its own, and return its exit code.

    `names` are the files that it reads, `model` the folder that it writes. The process is killed
    when the task is.
    """
    import ray

    with tempfile.TemporaryDirectory() as scratch:
        # Paths that begin with `..` must stay inside the scratch folder.
        depth = max(name.split("/").count("..") for name in [*names, model])
        folder = Path(scratch, *["d"] * depth)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ray.get(server.read.remote([*names, model])).items():
            write_atomic(folder / name, content)
        output = Path(scratch) / "output.log"
        with output.open("wb") as stream:
            process = start_bench(arguments, folder, thread_limits(cpus), stream)
        try:
            return _wait(process, Upload(ray, server, folder, model, log, output))
        finally:
            kill(process)


class Upload:
    """Sends the files and the log of a task to the file server."""

    def __init__(
        self,
        ray: Any,  # noqa: ANN401
        server: Any,  # noqa: ANN401
        folder: Path,
        model: str,
        log: str,
        output: Path,
    ) -> None:
        self._ray, self._server = ray, server
        self._folder, self._model = folder, model
        self._log, self._output = log, output
        self._sent = collected(folder, [model])

    def send_log(self) -> None:
        """Send the process's output."""
        self._send({}, [])

    def send_files(self) -> None:
        """Send the output and all files that changed."""
        files = collected(self._folder, [self._model])
        changed = {
            name: content for name, content in files.items() if self._sent.get(name) != content
        }
        self._send(changed, [name for name in self._sent if name not in files])
        self._sent = files

    def _send(self, changed: Files, deleted: list[str]) -> None:
        self._ray.get(
            self._server.write.remote(self._log, self._output.read_bytes(), changed, deleted)
        )


def _wait(process: Popen[bytes], upload: Upload) -> int:
    """Wait for the process, sending its files meanwhile; return its exit code."""
    last = time.monotonic()
    while (code := process.poll()) is None:
        if time.monotonic() - last > SECONDS_BETWEEN_UPLOADS:
            upload.send_files()
            last = time.monotonic()
        else:
            upload.send_log()
        time.sleep(1)
    upload.send_files()
    return code
