"""What every registered defense must do, ours and outsiders'. Messages speak to its author."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import checkpoint
from bench.cli._fields import options
from bench.errors import CrossfireError
from bench.registry import defenses, get_defense
from bench.threats import Threat
from bench.training import Job, run
from bench.training.start import default_threat, recipes
from tests.small import L1, L2, LINF, sha256, small_job

KEYS = sorted(defenses())
each = pytest.mark.parametrize("key", KEYS)


def threats(key: str) -> tuple[Threat, ...]:
    """Those that a defense is for by default, small ones."""
    return (LINF, L2, L1) if default_threat(get_defense(key)) == "union" else (LINF,)


def trained(key: str, job: Job) -> Job:
    get_defense(key)().fit(job)
    return job


def column(job: Job, name: str) -> list[float]:
    with (job.out / "log.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@each
def test_it_is_a_frozen_record_of_documented_options(key: str) -> None:
    kind = get_defense(key)
    defense = kind()
    assert kind.__doc__, f"{key}: say in the class's docstring what the defense is"
    for item in dataclasses.fields(defense):
        assert item.metadata.get("help"), (
            f"{key}: give field '{item.name}' metadata={{'help': ...}}; it is an option of 'bench'"
        )
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(defense, item.name, None)


@each
def test_its_config_survives_json(key: str) -> None:
    kind = get_defense(key)
    written = json.dumps(dataclasses.asdict(kind()))
    again = json.dumps(dataclasses.asdict(kind(**json.loads(written))))
    assert again == written, (
        f"{key}: fields must be plain values, so that a checkpoint can say them"
    )


@each
def test_its_options_are_its_own_and_its_recipes_name_options(key: str) -> None:
    kind = get_defense(key)
    own = {option.name for option in options(kind)}
    shared = {option.name for option in options(Job)} | {"threat", "budgets", "out", "display"}
    assert not own & shared, f"{key}: rename {own & shared}; every defense has such an option"
    for name, values in recipes(kind).items():
        unknown = values.keys() - own - shared
        assert not unknown, f"{key}: recipe '{name}' names {unknown}, which are no options"


@each
@pytest.mark.parametrize("threat", [LINF, L2, L1], ids=lambda threat: threat.norm)
def test_it_runs_for_each_norm(key: str, threat: Threat, tmp_path: Path) -> None:
    chosen = (threat,) if len(threats(key)) == 1 else (threat, LINF if threat is L1 else L1)
    job = trained(key, small_job(tmp_path / "run", threats=chosen, epochs=1))
    for tag in ("best", "last"):
        path = job.out / f"{tag}.safetensors"
        assert path.exists(), f"{key}: iterate over job.run(self, net) to its end; no {tag} is kept"
        _, metadata = checkpoint.load(path)
        assert metadata.forward_passes >= 64, f"{key}: train networks of job.model or job.place"
        assert metadata.backward_passes >= 64, f"{key}: train networks of job.model or job.place"


@each
def test_a_short_run_lowers_its_own_loss(key: str, tmp_path: Path) -> None:
    job = small_job(tmp_path / "run", threats=threats(key), epochs=12, schedule="constant", lr=0.1)
    loss = column(trained(key, job), "loss")
    assert min(loss[-3:]) < loss[0], f"{key}: its loss didn't fall in 12 epochs: {loss}"


@each
def test_a_seed_decides_the_weights(key: str, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> str:
        job = small_job(tmp_path / name, threats=threats(key), seed=seed, epochs=1)
        return sha256(trained(key, job).out)

    first = weights("a", 0)
    torch.manual_seed(123)
    assert weights("b", 0) == first, f"{key}: draw random numbers from the batch, not elsewhere"
    assert weights("c", 1) != first, f"{key}: build networks with job.model, which knows the seed"


class Stop(Exception):
    """Ends a run between two steps."""


@each
def test_a_stopped_run_ends_in_the_same_weights(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0.0)

    def stop(done: int, total: int, text: str) -> None:
        if done == 4:
            raise Stop

    def job(name: str, **settings: Any) -> Job:  # noqa: ANN401
        return small_job(tmp_path / name, threats=threats(key), epochs=3, **settings)

    with pytest.raises(Stop):
        trained(key, job("stopped", progress=stop))
    resumed, whole = trained(key, job("stopped")), trained(key, job("whole"))
    assert sha256(resumed.out) == sha256(whole.out), (
        f"{key}: it resumed to other weights; give job.run all that changes in `state=`"
    )


class Watched(Job):
    """A job that remembers the network of its run."""

    def run(self, defense: Any, net: Any, **rest: Any) -> Any:  # noqa: ANN401
        self.__dict__["net"] = net
        return super().run(defense, net, **rest)


@each
def test_its_checkpoint_gives_the_same_logits(key: str, tmp_path: Path) -> None:
    plain = small_job(tmp_path / "run", threats=threats(key), epochs=1)
    values = {item.name: getattr(plain, item.name) for item in dataclasses.fields(plain)}
    job = trained(key, Watched(**values))
    model, metadata = checkpoint.load(job.out / "last.safetensors")
    x = job.data.heldout.floats()
    net = job.__dict__["net"].body.eval().to(memory_format=torch.contiguous_format)
    assert torch.equal(model(x), net(x)), f"{key}: train the network that job.run was given"
    assert metadata.defense == key


@each
def test_weights_may_be_averaged(key: str, tmp_path: Path) -> None:
    def weights(average: float) -> str:
        job = small_job(tmp_path / str(average), threats=threats(key), epochs=1, average=average)
        return sha256(trained(key, job).out)

    assert weights(0.9) != weights(0.0), f"{key}: update weights through the run's `step`"


@each
def test_threats_it_is_not_for_are_refused_in_words(key: str, tmp_path: Path) -> None:
    if len(threats(key)) > 1 or key == "undefended":
        pytest.skip("it takes several threats")
    job = small_job(tmp_path / "run", threats=(LINF, L2))
    with pytest.raises(CrossfireError, match="is for one threat, not 2; choose with --threat"):
        trained(key, job)
