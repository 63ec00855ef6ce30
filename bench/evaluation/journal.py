"""The state of a running evaluation on disk, so that the same command resumes after a kill.

One safetensors file has the whole state and is replaced atomically; adversarial examples are in
memory-mapped arrays beside it, so that memory use doesn't grow with the number of examples.
"""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from bench.files import locked, reserve, write_atomic


class Journal:
    """A folder of one evaluation; `key` is the hash of model, data, protocol and arithmetic."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder / key[:32]
        self._maps: dict[str, "np.memmap[Any, Any]"] = {}

    @contextmanager
    def alone(self) -> Iterator[Self]:
        """The journal while no other process writes into its folder.

        Raises:
            CrossfireError: another process does.
        """
        doing = "evaluates this model here; repeat the command when it has ended"
        with locked(self._folder / "lock", doing):
            yield self

    def found(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The array (n, c, h, w) of adversarial examples of one column, zeros where not broken."""
        if name not in self._maps:
            path = self._folder / f"{name}.f32"
            size = 4 * math.prod(shape)
            if not path.exists() or path.stat().st_size != size:
                reserve(path, size)
            self._maps[name] = np.memmap(path, np.float32, "r+", shape=shape)
        return self._maps[name]

    def save(self, state: dict[str, Tensor]) -> None:
        """Replace the saved state."""
        for array in self._maps.values():
            array.flush()
        write_atomic(self._folder / "state.safetensors", to_safetensors(state))

    def load(self) -> dict[str, Tensor]:
        """The state that was saved last; empty if there is none."""
        path = self._folder / "state.safetensors"
        return from_safetensors(path.read_bytes()) if path.exists() else {}

    def close(self) -> None:
        """Delete the folder, after the evaluation's record was written."""
        self._maps.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
