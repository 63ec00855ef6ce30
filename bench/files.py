"""Atomic writes, locks, and hashes of files."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import CrossfireError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it is fsynced and renamed to it.

    A kill at any time leaves the former content of `path` untouched. A symbolic link stays, and
    what it points to is replaced.

    Raises:
        CrossfireError: the disk is full or the folder can't be written.
    """
    temporary: Path | None = None
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.fchmod(handle, 0o644)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that no reader ever sees a partial file; into a device or a pipe,
    which can't be replaced, as it is.

    Raises:
        CrossfireError: the disk is full or the path can't be written.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise _unwritable(path, error) from error
        return
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _unwritable(path: Path, error: OSError) -> CrossfireError:
    why = error.strerror or error
    return CrossfireError(f"cannot write {path}: {why}; free space or choose another folder")


def reserve(path: Path, size: int) -> None:
    """Make `path` a file of `size` zero bytes whose disk space is already allocated.

    A process that writes to a memory-mapped file is killed when the disk is full; allocating the
    space first raises an error instead.

    Raises:
        CrossfireError: the disk is full or the folder can't be written.
    """
    with replacing(path) as temporary, temporary.open("rb+") as stream:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, size)
        else:
            stream.truncate(size)


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock of a file, so that no other process does the same; `doing` says what.

    Raises:
        CrossfireError: another process holds it, or the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+b", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise CrossfireError(f"process {stream.read().decode()} already {doing}") from None
        except OSError:
            pass  # the file system has no locks
        try:
            stream.truncate(0)
            stream.write(str(os.getpid()).encode())
        except OSError as error:
            raise _unwritable(path, error) from error
        yield


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of a file."""
    try:
        with path.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no such file, or the file system has no locks
        return False
    return False


def sha256_bytes(data: bytes) -> str:
    """The sha256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file's content in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
