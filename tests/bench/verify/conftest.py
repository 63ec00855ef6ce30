"""A valid record of a tiny network, which tests change."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from bench.data import load
from bench.evaluation.settings import Settings
from bench.files import sha256_file
from bench.measurement import Measurement
from bench.models import build
from bench.models.checkpoint import Metadata, save
from bench.verify import Options, verify
from leaderboard.schema import digest

EXAMPLES = 24
LINF, L2 = "linf:0.1", "l2:0.4"
torch.set_num_threads(1)  # a network this small is slower on several
Json = dict[str, Any]
Tensors = dict[str, torch.Tensor]


def train(folder: Path) -> Path:
    """A checkpoint of a tiny network trained on some digits."""
    data = load("digits")
    torch.manual_seed(0)
    model = build("cnn-w4", classes=10, channels=1, size=(8, 8))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    x, y = data.train.take(512).floats(), data.train.take(512).labels
    for _ in range(40):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    about = {"defense": "undefended", "config": {}, "dataset": "digits", "arch": "cnn-w4"}
    size = {"classes": 10, "channels": 1, "size": (8, 8), "threats": ()}
    made = {"epoch": 1, "epochs": 1, "selected_on": "heldout", "seed": 0, "seconds": 1.0}
    cost = {"forward_passes": 512, "backward_passes": 512, "versions": {}, "commit": None}
    return save(
        folder,
        "best",
        model,
        Metadata(data_sha256=data.train.sha256(), **about, **size, **made, **cost),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    settings = Settings(threat=f"{LINF},{L2}", device="cpu", precision="fp32")
    measurement = Measurement(settings, examples=EXAMPLES, board=folder / "board")
    measurement.measure(str(train(folder / "runs" / "tiny")), lambda *_: None)
    (folder / "runs").rename(folder / "moved")  # so that a record's source is nowhere
    return folder


class Forger:
    """A copy of the board, whose record can be given a new id after every change."""

    def __init__(self, folder: Path) -> None:
        self.board = folder / "board"
        self.weights = folder / "moved" / "tiny" / "best.safetensors"
        (self.path,) = (self.board / "records").glob("*.json")
        self.record: Json = json.loads(self.path.read_text())

    def verify(self, **options: Any) -> list[str]:  # noqa: ANN401
        """The violated rules."""
        report = verify(self.path, Options(model=str(self.weights), **options))
        return [failure.rule for failure in report.failures]

    def seal(self) -> None:
        """Give the record the id of its changed content."""
        self.path.unlink()
        self.record["id"] = digest(self.record)
        self.path = self.path.with_name(f"{self.record['id'][:16]}.json")
        self.path.write_text(json.dumps(self.record))

    def change_table(self, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
        """Change the table in place, or replace it by the returned one."""
        path = self.board / self.record["evidence"]["table"]["file"]
        table = pd.read_parquet(path)
        other = change(table)
        (table if other is None else other).to_parquet(path)
        self.record["evidence"]["table"]["sha256"] = sha256_file(path)

    def change_images(self, change: Callable[[Tensors], object]) -> None:
        path = self.board / self.record["evidence"]["adversarial"]["file"]
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        self.record["evidence"]["adversarial"]["sha256"] = sha256_file(path)


@pytest.fixture
def forger(original: Path, tmp_path: Path) -> Forger:
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    return Forger(tmp_path)
