"""Requirements on every registered defense, plugins included, with messages for its author."""

import csv
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.cli._fields import options
from bench.errors import CrossfireError
from bench.models import checkpoint
from bench.plugins.registry import defenses, get_defense
from bench.threats import Threat
from bench.training import Job, run, selection
from bench.training.start import default_threat, recipes
from tests.small import L1, L2, LINF, sha256, small_job, watched_runs

KEYS = sorted(defenses())
each = pytest.mark.parametrize("key", KEYS)


def threats(key: str) -> tuple[Threat, ...]:
    """The default threats of a defense, with small budgets."""
    return (LINF, L2, L1) if default_threat(get_defense(key)) == "union" else (LINF,)


def trained(key: str, out: Path, **settings: Any) -> Job:  # noqa: ANN401
    """The job of a short complete run."""
    small = {"threats": threats(key), "epochs": 5, "schedule": "constant", "lr": 0.1}
    job = small_job(out, **(small | settings))
    defense = get_defense(key)()
    always = {item.name for item in dataclasses.fields(defense) if "variants" not in item.metadata}
    quick = {"steps": 2} if "steps" in always else {}
    with watched_runs() as runs:
        dataclasses.replace(defense, **quick).fit(job)
    job.__dict__["net"] = runs.call_args.args[3]
    return job


@pytest.fixture(scope="module", autouse=True)
def quick_selection() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "EXAMPLES", 16)
        patch.setattr(selection, "STEPS", 2)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Job]:
    """One run of each defense, shared by several tests."""
    return functools.cache(lambda key: trained(key, tmp_path_factory.mktemp(key) / "run"))


@each
def test_it_is_a_frozen_dataclass_of_documented_options(key: str) -> None:
    kind = get_defense(key)
    defense = kind()
    assert kind.__doc__, f"{key}: describe the defense in the class's docstring"
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
    read = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(written).items()
    }
    again = json.dumps(dataclasses.asdict(kind(**read)))
    assert again == written, (
        f"{key}: fields must be plain values, so that a checkpoint can store them"
    )


@each
def test_its_options_are_no_options_of_the_job_and_its_recipes_name_options(key: str) -> None:
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
    several = len(threats(key)) > 1
    chosen = (threat, LINF if threat is L1 else L1) if several else (threat,)
    job = trained(key, tmp_path, threats=chosen, epochs=1)
    for tag in ("best", "last"):
        path = job.out / f"{tag}.safetensors"
        assert path.exists(), (
            f"{key}: iterate over Run(job, self, net) to its end; no {tag} is kept"
        )


@each
def test_its_passes_are_counted(key: str, whole: Callable[[str], Job]) -> None:
    _, found = checkpoint.load(whole(key).out)
    assert found.forward_passes >= 64, f"{key}: train networks of job.model or job.place"
    assert found.backward_passes >= 64, f"{key}: train networks of job.model or job.place"


@each
def test_a_short_run_lowers_its_own_loss(key: str, whole: Callable[[str], Job]) -> None:
    with (whole(key).out / "log.csv").open() as file:
        loss = [float(row["loss"]) for row in csv.DictReader(file)]
    assert min(loss[-2:]) < loss[0], f"{key}: its loss didn't fall in {len(loss)} epochs: {loss}"


@each
def test_another_seed_gives_other_weights(key: str, tmp_path: Path) -> None:
    one, other = (trained(key, tmp_path / str(seed), seed=seed, epochs=1) for seed in (0, 1))
    assert sha256(one.out) != sha256(other.out), f"{key}: build networks with job.model"


class Stop(Exception):
    """Ends a run between two steps."""


@each
def test_a_stopped_run_ends_in_the_same_weights(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Callable[[str], Job]
) -> None:
    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0.0)

    def stop(done: int, total: int, text: str) -> None:
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        trained(key, tmp_path, progress=stop)
    torch.manual_seed(123)
    resumed = trained(key, tmp_path)
    assert sha256(resumed.out) == sha256(whole(key).out), (
        f"{key}: the same seed gave other weights after a stop; "
        "draw random numbers from the batch, and give job.run all that changes in `state=`"
    )


@each
def test_its_checkpoint_gives_the_same_logits(key: str, whole: Callable[[str], Job]) -> None:
    job = whole(key)
    model, metadata = checkpoint.load(job.out / "last.safetensors")
    x = job.data.heldout.floats()
    net = job.__dict__["net"].body.eval().to(memory_format=torch.contiguous_format)
    assert torch.equal(model(x), net(x)), f"{key}: train the network that job.run was given"
    assert metadata.defense == key


@each
def test_weights_may_be_averaged(key: str, tmp_path: Path) -> None:
    job = trained(key, tmp_path, epochs=1, average=0.9)
    present = checkpoint.weights_sha256(job.__dict__["net"].body)
    assert sha256(job.out) != present, f"{key}: update weights through the run's `step`"


@each
def test_unsupported_threats_are_refused_with_a_message(key: str, tmp_path: Path) -> None:
    if len(threats(key)) > 1 or key == "undefended":
        pytest.skip("it takes several threats")
    with pytest.raises(CrossfireError, match="is for one threat, not 2; choose with --threat"):
        trained(key, tmp_path, threats=(LINF, L2))
