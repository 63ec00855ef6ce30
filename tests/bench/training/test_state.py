"""The state of a run: what is saved, and what loading it never does."""

import csv
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import CrossfireError
from bench.models.checkpoint import metadata_of
from bench.training import Run
from defenses.undefended import Undefended
from tests.small import small_job


def test_two_parts_of_the_state_with_one_name_are_refused(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net = job.model()
    with pytest.raises(CrossfireError, match="two parts of the state have one name"):
        Run(job, Undefended(), net, state={"optimizer": torch.optim.Adam(net.parameters())})


def test_the_loss_in_the_log_is_a_mean_over_updates(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1)
    net = job.model()
    started = Run(job, Undefended(), net)
    for batch in started:
        for _ in range(3):
            started.step(0 * net(batch.x).sum() + 2)
    with (tmp_path / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["loss"]) == 2


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sprung,))


def test_a_state_file_runs_no_code(tmp_path: Path) -> None:
    torch.save({"x": Trap(tmp_path / "sprung")}, tmp_path / "state.pt")
    with pytest.raises(CrossfireError):
        Undefended().fit(small_job(tmp_path))
    assert not (tmp_path / "sprung").exists()


def test_a_run_is_not_resumed_in_another_arithmetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if done == total // 2 + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("bench.training.job.resolve", lambda precision, device: "bf16")
    with pytest.raises(KeyboardInterrupt):
        Undefended().fit(small_job(tmp_path, precision="auto", progress=stop))
    assert metadata_of(tmp_path).versions["arithmetic"] == "bf16"
    monkeypatch.setattr("bench.training.job.resolve", lambda precision, device: "fp32")
    told = "holds a run that began in bf16, and --precision auto is fp32 here; resume it on"
    with pytest.raises(CrossfireError, match=told):
        Undefended().fit(small_job(tmp_path, precision="auto"))
    Undefended().fit(small_job(tmp_path, precision="auto", resume=False))
    assert metadata_of(tmp_path).versions["arithmetic"] == "fp32"


def test_a_run_leaves_torchs_generator_to_its_caller_also_after_an_error(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    for folder, error in (("whole", None), ("stopped", KeyboardInterrupt)):
        torch.manual_seed(7)
        job = small_job(tmp_path / folder, epochs=1)
        net = job.model()
        with pytest.raises(error) if error else nullcontext():
            for batch in (started := Run(job, Undefended(), net)):
                started.step(net(batch.x + torch.rand(1)).square().sum())
                if error:
                    raise error
        assert torch.equal(torch.rand(3), expected)
