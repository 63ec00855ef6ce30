"""Training that begins from given weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from bench.campaign.definition.file import read as campaign
from bench.cli import main
from bench.errors import CrossfireError
from bench.models import EXTRA, build, checkpoint
from bench.training import Job, run, settings_of
from defenses.at import AT
from defenses.mat import MAT
from defenses.ramp import RAMP
from defenses.undefended import Undefended
from tests.small import L1, LINF, sha256, small_job


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Undefended().fit(small_job(Path("first"), epochs=1))


def began(job: Job, role: str = "net") -> str:
    return checkpoint.weights_sha256(job.model(role).body)


@pytest.mark.parametrize("start", ["first", "first/best.safetensors", "other.safetensors"])
def test_the_network_begins_with_the_given_weights_and_peers_do_not(start: str) -> None:
    save_file(checkpoint.read(Path("first/best.safetensors"))[0], "other.safetensors")
    job = small_job(Path("out"), start=start)
    assert began(job) == sha256(Path("first"), "best")
    assert began(job, "peer") == began(small_job(Path("out")), "peer")
    assert job.model().training


def test_the_architecture_is_that_of_the_checkpoint() -> None:
    job = small_job(Path("out"), start="first", arch="auto")
    assert job.architecture == job.model("peer").arch == "cnn-w4"


def test_a_rate_of_nearly_nothing_leaves_the_given_weights() -> None:
    AT(steps=1).fit(small_job(Path("out"), start="first", lr=1e-12, weight_decay=0.0))
    before, after = (checkpoint.load(Path(name))[0] for name in ("first", "out"))
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.allclose(old, new, atol=1e-8)


def test_both_networks_of_ramp_and_the_generalist_of_mat_begin_there() -> None:
    settings = {"start": "first", "lr": 1e-12, "weight_decay": 0.0, "epochs": 1}
    for defense in (RAMP(steps=1), MAT(steps=1)):
        out = Path(type(defense).__name__)
        defense.fit(small_job(out, threats=(LINF, L1), **settings))
        model, found = checkpoint.load(out)
        old = next(checkpoint.load(Path("first"))[0].parameters())
        assert torch.allclose(next(model.parameters()), old, atol=1e-8)
        assert found.config["training"]["start"] == sha256(Path("first"), "best")


def test_without_start_the_options_are_those_of_before() -> None:
    assert "start" not in settings_of(small_job(Path("out")))


def test_other_weights_are_other_options_wherever_they_lie() -> None:
    AT(steps=1).fit(small_job(Path("out"), start="first"))
    Path("first").rename("moved")
    messages: list[str] = []
    AT(steps=1).fit(small_job(Path("out"), start="moved", notify=messages.append))
    assert messages == ["out is already trained; --no-resume (resume=False) trains it again"]
    Undefended().fit(small_job(Path("second"), epochs=1, seed=1))
    for start in ("second", ""):
        with pytest.raises(CrossfireError, match="out holds a run with start"):
            AT(steps=1).fit(small_job(Path("out"), start=start))


def test_it_resumes_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    def train(out: str, progress: Callable[[int, int, str], None] = lambda *_: None) -> None:
        AT(steps=1).fit(small_job(Path(out), start="first", progress=progress))

    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0.0)
    train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("parts", stop)
    train("parts")
    assert sha256(Path("whole")) == sha256(Path("parts"))


def test_published_weights_keep_their_range_of_pixels() -> None:
    published = build("wrn-10-1", classes=10, channels=1, size=(8, 8))
    network = {k: v for k, v in published.state_dict().items() if not k.startswith("normalize")}
    torch.save(network, "wrn.pt")
    job = small_job(Path("out"), start="wrn.pt", arch="wrn-10-1", epochs=1)
    Undefended().fit(job)
    model, _ = checkpoint.load(Path("out"))
    assert (model.normalize.mean, model.normalize.std) == (0, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "none"}, "there is no file none; name one that"),
        ({"start": "first", "arch": "cnn-w8"}, "first is a cnn-w4; leave out --arch cnn-w8"),
        ({"start": "weights.safetensors", "arch": "auto"}, "give one with --arch"),
        ({"start": "colour"}, "colour is for 3 channels and 10 classes, digits has 1 and 10"),
        ({"start": "own", "arch": "auto"}, "no checkpoint runs code by itself; add --arch m.py:n"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, str], message: str) -> None:
    tensors, metadata = checkpoint.read(Path("first/best.safetensors"))[0], vars(_first())
    save_file(tensors, "weights.safetensors")
    colour = build("cnn-w4", classes=10, channels=3, size=(8, 8))
    changed = checkpoint.Metadata(**metadata | {"channels": 3})
    checkpoint.save(Path("colour"), "best", colour, changed)
    own = checkpoint.Metadata(**metadata | {"arch": "m.py:n"})
    checkpoint.save(Path("own"), "best", checkpoint.load(Path("first"))[0], own)
    EXTRA.clear()
    with pytest.raises(CrossfireError, match=message) as caught:
        AT().fit(small_job(Path("out"), **settings))
    assert "\n" not in str(caught.value)
    assert not Path("out").exists()


def _first() -> checkpoint.Metadata:
    return checkpoint.metadata_of(Path("first"))


def test_the_command_names_the_folder_after_it_and_campaigns_refuse_it() -> None:
    small = ("--steps", "1", "--examples", "64", "--epochs", "1", "--display", "none")
    done = CliRunner().invoke(main, ["train", "at", "--start", "first", *small])
    assert done.exit_code == 0, done.output
    assert _first().arch == checkpoint.metadata_of(Path("runs/at-from-first")).arch
    Path("c.toml").write_text('[[run]]\ndefense = "at"\nstart = "first"\n')
    with pytest.raises(CrossfireError, match="line 3: unknown option of at: 'start'"):
        campaign(Path("c.toml"))
