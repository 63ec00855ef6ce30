"""What an evaluation under way keeps on disk, so that the same command goes on after a kill.

One safetensors file holds the whole state and is replaced in one step; adversarial examples lie
beside it in plain arrays on disk, so that memory doesn't grow with the number of examples.
"""

import shutil
from pathlib import Path

import numpy as np
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from bench.files import write_atomic


class Journal:
    """A folder of one evaluation; `key` names model, data, protocol and arithmetic by their
    hash."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder / key[:32]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._maps: dict[str, np.memmap] = {}

    def found(self, name: str, shape: tuple[int, ...]) -> np.memmap:
        """The array (n, c, h, w) of adversarial examples of one column, zeros where none is."""
        if name not in self._maps:
            path = self._folder / f"{name}.f32"
            whole = path.exists() and path.stat().st_size == 4 * int(np.prod(shape))
            self._maps[name] = np.memmap(path, np.float32, "r+" if whole else "w+", shape=shape)
        return self._maps[name]

    def save(self, state: dict[str, Tensor]) -> None:
        """Replace the state by this one."""
        for array in self._maps.values():
            array.flush()
        write_atomic(self._folder / "state.safetensors", to_safetensors(state))

    def load(self) -> dict[str, Tensor]:
        """The state that was saved last; empty if there is none."""
        path = self._folder / "state.safetensors"
        return from_safetensors(path.read_bytes()) if path.exists() else {}

    def close(self) -> None:
        """Forget everything: the evaluation is over and its record written."""
        self._maps.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
