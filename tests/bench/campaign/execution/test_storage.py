"""Storage: a campaign begun on one machine is resumed on another."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.campaign.definition.file import read
from bench.campaign.execution.plan import Plan, make
from bench.campaign.execution.scheduler import Scheduler
from bench.campaign.execution.state import State
from bench.campaign.execution.storage import Storage
from bench.errors import CrossfireError
from tests.bench.campaign.execution.test_scheduler import TEXT, FakeJobs


def plan(folder: Path) -> Plan:
    folder.mkdir()
    (folder / "c.toml").write_text(TEXT)
    return make(read(folder / "c.toml"))


def execute(found: Plan, url: str) -> list[str]:
    storage = Storage(url, found)
    storage.restore()
    state, jobs = State.load(found), FakeJobs(found.campaign.folder)
    assert Scheduler(state, jobs, lambda state: None, storage.keep).run()
    storage.keep_state()
    return jobs.started


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3-compatible server on this machine."""
    if not (find_spec("s3fs") and find_spec("moto") and find_spec("flask")):
        pytest.skip("needs s3fs and moto[server]")
    port = 5000 + os.getpid() % 1000
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    for key, value in {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{key}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for _ in range(300):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"))
            break
        except OSError:
            time.sleep(0.1)
    yield "s3://bucket/campaign"
    server.kill()
    server.wait()


def assert_resumes(folder: Path, url: str) -> None:
    first, second = plan(folder / "first"), plan(folder / "second")
    assert len(execute(first, url)) == 6
    assert execute(second, url) == []
    weights = [p.relative_to(folder / "first") for p in (folder / "first").rglob("*.safetensors")]
    assert len(weights) == 6 + 3
    assert all((folder / "second" / name).is_file() for name in weights)


def test_another_machine_resumes_from_a_folder(tmp_path: Path) -> None:
    assert_resumes(tmp_path, str(tmp_path / "storage"))


def test_another_machine_resumes_from_an_object_store(tmp_path: Path) -> None:
    assert_resumes(tmp_path, "memory://campaign")


@pytest.mark.filterwarnings("ignore")
def test_another_machine_resumes_from_s3(tmp_path: Path, bucket: str) -> None:
    assert_resumes(tmp_path, bucket)


def test_an_invalid_address_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        CrossfireError, match=r"cannot use the storage nowhere://x .*check"
    ) as found:
        Storage("nowhere://x", plan(tmp_path / "a"))
    assert "\n" not in str(found.value)


def test_boards_with_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        f'{TEXT}\n[[evaluate]]\ncheckpoint = "last"\nboard = "b/board"\n'
    )
    with pytest.raises(CrossfireError, match="two boards are called 'board'"):
        Storage("memory://x", make(read(tmp_path / "c.toml")))
