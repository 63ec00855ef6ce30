"""A run ends with the same weights however often it is killed, and saves checkpoints and log."""

import csv
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.errors import CrossfireError
from bench.losses import cross_entropy
from bench.models import checkpoint
from bench.training import Job, Run, run
from defenses.at import AT
from defenses.undefended import Undefended
from tests.small import sha256, small_job

KILLER = """
import os, random, signal, sys, time
from pathlib import Path

import sklearn.datasets
from bench.training import run
from defenses.at import AT
from tests.small import small_job

run.SECONDS_BETWEEN_SAVES = 0.0


def train(folder, patience):
    child = os.fork()
    if not child:
        AT(steps=2).fit(small_job(Path(folder), epochs=12, average=0.9))
        os._exit(0)
    deadline = time.monotonic() + patience
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(0.005)
    assert ended[1] == 0
    return True


random.seed(0)
folder, began = Path(sys.argv[1]), time.monotonic()
train(folder / "whole", 1e9)
kills, patience = 0, (time.monotonic() - began) / 4
while not train(folder / "killed", random.uniform(0, patience)):
    kills, patience = kills + 1, 1.2 * patience
print(kills)
"""


def rows(job: Job) -> list[dict[str, str]]:
    with (job.out / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_killed_at_random_times_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, tmp_path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 1, "it ended before it could be killed"
    assert not (tmp_path / "killed" / "state.pt").exists()
    for tag in ("best", "last"):
        assert sha256(tmp_path / "killed", tag) == sha256(tmp_path / "whole", tag)
    logs = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("whole", "killed")]
    assert len(logs[0]) == len(logs[1]) == 13


class Stop(Exception):
    """Ends a run in the middle of a step."""


def stopped(job: Job, after: int) -> None:
    """Train with AT's loss, and stop after so many steps."""
    net = job.model()
    steps = itertools.count(1)
    for batch in (training := Run(job, AT(), net)):
        training.step(cross_entropy(net(batch.x), batch.y).mean())
        if next(steps) == after:
            raise Stop


def test_it_resumes_with_the_step_after_the_last_saved_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0.0)
    with pytest.raises(Stop):
        stopped(small_job(tmp_path / "a", epochs=3), after=4)
    shown: list[int] = []
    progress = lambda done, total, text: shown.append(done)  # noqa: E731
    stopped(small_job(tmp_path / "a", epochs=3, progress=progress), after=-1)
    assert shown == [4, 5, 6]
    stopped(small_job(tmp_path / "b", epochs=3), after=-1)
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    messages: list[str] = []
    job = small_job(tmp_path, notify=messages.append)
    Undefended().fit(job)
    first = (tmp_path / "last.safetensors").stat().st_mtime_ns
    Undefended().fit(job)
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == first
    (told,) = messages
    assert told == f"{tmp_path} is already trained; --no-resume (resume=False) trains it again"
    Undefended().fit(small_job(tmp_path, resume=False))
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns != first


@pytest.mark.parametrize("after", [3, None])
def test_a_run_of_other_options_is_never_overwritten(tmp_path: Path, after: int | None) -> None:
    if after is None:
        stopped(small_job(tmp_path), -1)
    else:
        with pytest.raises(Stop):
            stopped(small_job(tmp_path), after)
    with pytest.raises(CrossfireError, match=r"holds a run with lr 0.2, not 0.1; choose another"):
        stopped(small_job(tmp_path, lr=0.1), -1)


def test_a_damaged_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(CrossfireError, match=r"state.pt is damaged"):
        Undefended().fit(small_job(tmp_path))


def test_a_state_of_another_shape_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        stopped(small_job(tmp_path), 3)
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    del saved["parts"]["net"]["body.normalize.mean"]
    torch.save(saved, tmp_path / "state.pt")
    with pytest.raises(CrossfireError, match=r"state.pt is of another program .* --no-resume"):
        stopped(small_job(tmp_path), -1)


def test_a_run_without_its_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        stopped(small_job(tmp_path), 3)
    (tmp_path / "state.pt").unlink()
    with pytest.raises(CrossfireError, match="lacks its state"):
        stopped(small_job(tmp_path), -1)


def test_a_loss_of_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net = job.model()
    training = Run(job, AT(), net)

    def train() -> None:
        for batch in training:
            factor = torch.nan if batch.epoch == 1 else 1.0
            training.step(cross_entropy(net(batch.x), batch.y).mean() * factor)

    with pytest.raises(CrossfireError, match=r"epoch 2: the loss became nan; the last good"):
        train()
    _, metadata = checkpoint.load(tmp_path / "last.safetensors")
    assert metadata.epoch == 1


def test_an_infinite_weight_is_never_saved(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1)
    net = job.model()
    training = Run(job, AT(), net)

    def train() -> None:
        for batch in training:
            training.step(cross_entropy(net(batch.x), batch.y).mean())
            if batch.last:
                nn.init.constant_(next(net.parameters()), torch.inf)

    with pytest.raises(CrossfireError, match="a weight became infinite; no epoch was finished"):
        train()
    assert not list(tmp_path.glob("*.safetensors"))


def test_metadata_hold_the_cost_and_the_data(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=3)
    AT(steps=4).fit(job)
    _, found = checkpoint.load(tmp_path / "last.safetensors")
    assert found.forward_passes == found.backward_passes == 3 * 64 * 5
    assert (found.defense, found.epoch, found.epochs) == ("at", 3, 3)
    assert found.config["steps"] == 4
    assert found.config["training"]["arch"] == "cnn-w4"
    assert found.selected_on == "union accuracy on 136 held-out examples"
    assert found.data_sha256 == job.data.train.take(64).sha256()
    assert found.seconds > 0
    assert found.heldout.keys() == {"clean", "linf:0.1", "union", "fgsm"}


def test_best_is_the_epoch_with_the_highest_held_out_accuracy(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=8)
    AT(steps=2).fit(job)
    merit = [(float(row["union"]), float(row["clean"])) for row in rows(job)]
    _, best = checkpoint.load(tmp_path / "best.safetensors")
    assert best.epoch == merit.index(max(merit)) + 1


def test_the_log_has_a_row_for_each_epoch_with_cost_and_accuracies(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    AT(steps=2).fit(job)
    found = rows(job)
    assert [row["epoch"] for row in found] == ["1", "2"]
    assert float(found[1]["forward_passes"]) == 2 * 64 * 3
    assert {"lr", "loss", "seconds", "clean", "union", "fgsm", "notice"} <= found[0].keys()


def test_the_averaged_network_is_saved(tmp_path: Path) -> None:
    job = small_job(tmp_path / "plain", epochs=1)
    AT(steps=1).fit(job)
    AT(steps=1).fit(small_job(tmp_path / "mean", epochs=1, average=0.99))
    assert sha256(tmp_path / "plain") != sha256(tmp_path / "mean")


def test_companions_become_checkpoints_of_their_own(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1)
    net, peer = job.model(), job.model("peer", "cnn-w2")
    training = Run(job, AT(), net, companions={"peer": peer})
    for batch in training:
        losses = [cross_entropy(each(batch.x), batch.y).mean() for each in (net, peer)]
        training.step(losses[0] + losses[1])
    model, metadata = checkpoint.load(tmp_path / "peer")
    assert metadata.arch == "cnn-w2"
    assert all(map(torch.equal, model.parameters(), peer.parameters()))
    chosen = "union accuracy of the main network on 136 held-out examples"
    assert checkpoint.metadata_of(tmp_path / "peer").selected_on == chosen


def test_the_gradient_of_each_network_is_clipped_separately(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1, examples=32, clip=0.01, momentum=0.0, weight_decay=0.0)
    one, two = job.model(), job.model("peer")
    before = [[p.detach().clone() for p in net.parameters()] for net in (one, two)]
    training = Run(job, AT(), one, companions={"peer": two})
    for batch in training:
        losses = [cross_entropy(net(batch.x), batch.y).mean() for net in (one, two)]
        training.step(100 * losses[0] + 1e-6 * losses[1])
        rate = 0.2 * 0.5 / 0.6  # the cyclic schedule in the middle of the only step
    moves = [
        sum((p - old).square().sum().item() for p, old in zip(net.parameters(), olds, strict=True))
        for net, olds in zip((one, two), before, strict=True)
    ]
    assert moves[0] ** 0.5 == pytest.approx(rate * 0.01, rel=1e-3)
    assert moves[1] ** 0.5 < rate * 1e-4


def test_a_second_optimiser_keeps_its_own_rate(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1)
    net, other = job.model(), job.model("other")
    adam = torch.optim.Adam(other.parameters(), lr=1e-3)
    before = [p.detach().clone() for p in other.parameters()]
    training = Run(job, AT(), net, optimizer=job.sgd(net), state={"other": other, "adam": adam})
    for batch in training:
        training.step(cross_entropy(net(batch.x), batch.y).mean())
        training.step(-cross_entropy(other(batch.x), batch.y).mean(), adam)
    assert adam.param_groups[0]["lr"] == 1e-3
    assert not any(map(torch.equal, other.parameters(), before))


def test_torchs_own_generator_resumes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def noise(job: Job, after: int) -> list[Any]:
        net, drawn = job.model(), []
        training = Run(job, AT(), net)
        for batch in training:
            drawn.append(torch.rand(1).item())
            training.step(cross_entropy(net(batch.x), batch.y).mean())
            if len(drawn) == after:
                break
        return drawn

    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0.0)
    whole = noise(small_job(tmp_path / "a", epochs=3), -1)
    parts = noise(small_job(tmp_path / "b", epochs=3), 4) + noise(
        small_job(tmp_path / "b", epochs=3), -1
    )
    assert parts == whole[:4] + whole[3:], "the unsaved fourth step is done again"


def test_config_survives_json(tmp_path: Path) -> None:
    AT().fit(small_job(tmp_path, epochs=1, schedule="steps", drops=(1.0, 2.0)))
    _, metadata = checkpoint.load(tmp_path)
    assert metadata.config == json.loads(json.dumps(metadata.config))
    AT().fit(small_job(tmp_path, epochs=1, schedule="steps", drops=(1.0, 2.0)))
