import gzip
import hashlib
import io
import pickle
import struct
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import scipy.io
import torch
from torchvision import datasets

from bench.data import load
from bench.errors import CrossfireError

COLOUR = np.random.RandomState(0).randint(0, 256, (20, 3, 32, 32)).astype(np.uint8)
GREY = np.random.RandomState(1).randint(0, 256, (20, 28, 28)).astype(np.uint8)
LABELS = np.arange(20) % 10


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of a server on this machine for the files in `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def cifar(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A miniature of CIFAR-10's archive behind a local address, and where to download it to."""
    rows = COLOUR.reshape(20, -1)
    files = {
        "data_batch_1": {"data": rows, "labels": LABELS.tolist()},
        "test_batch": {"data": rows[:10], "labels": LABELS[:10].tolist()},
        "batches.meta": {"label_names": [str(label) for label in range(10)]},
    }
    archive = tmp_path / "origin" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    sums = {}
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            data = pickle.dumps(content)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size, sums[name] = len(data), md5(data)
            tar.addfile(info, io.BytesIO(data))
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{site}/origin/{archive.name}")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive.read_bytes()))
    for part, name in (("train_list", "data_batch_1"), ("test_list", "test_batch")):
        monkeypatch.setattr(datasets.CIFAR10, part, [[name, sums[name]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return tmp_path / "data"


def test_cifar_is_downloaded_once_and_keeps_its_order(
    cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar10 = load("cifar10", root=cifar)
    assert torch.equal(cifar10.test.images, torch.from_numpy(COLOUR[:10]))
    assert cifar10.test.labels.tolist() == LABELS[:10].tolist()
    assert (cifar10.classes, cifar10.channels, cifar10.size) == (10, 3, (32, 32))
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{cifar.as_uri()}/nowhere")
    assert load("cifar10", root=cifar).test.sha256() == cifar10.test.sha256()


def test_an_environment_variable_sets_the_folder_of_downloads(
    cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSFIRE_DATA", str(cifar))
    load("cifar10")
    assert (cifar / "cifar-10-batches-py" / "test_batch").is_file()


def test_a_damaged_download_is_refused(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(CrossfireError, match=r"cannot load cifar10 into .*corrupted"):
        load("cifar10", root=cifar)


def test_without_network_the_message_names_alternatives(
    cifar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "file:///nowhere/cifar.tar.gz")
    with pytest.raises(
        CrossfireError, match="connect to the network once, or use digits"
    ) as caught:
        load("cifar10", root=cifar)
    assert "\n" not in str(caught.value)


def test_a_torchvision_that_does_not_import_is_named_and_digits_still_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(CrossfireError, match=r"which does not work here .*Error: import") as caught:
        load("cifar10")
    assert "\n" not in str(caught.value)
    assert len(load("digits").test) == 450


@pytest.fixture
def mnist(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A miniature of MNIST's files behind a local address, and where to download them to."""
    resources = []
    for name, array in (("images-idx3", GREY), ("labels-idx1", LABELS.astype(np.uint8))):
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        for part in ("train", "t10k"):
            file = tmp_path / f"{part}-{name}-ubyte.gz"
            file.write_bytes(gzip.compress(head + array.tobytes()))
            resources.append((file.name, md5(file.read_bytes())))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [f"{site}/"])
    return tmp_path / "data"


def test_mnist_is_grey(mnist: Path) -> None:
    found = load("mnist", root=mnist)
    assert (found.channels, found.size) == (1, (28, 28))
    assert torch.equal(found.test.images[:, 0], torch.from_numpy(GREY))


@pytest.mark.parametrize("part", [slice(0), slice(2), slice(8, None), slice(30)])
def test_files_that_an_interruption_damaged_are_an_error_of_one_line(
    mnist: Path, part: slice
) -> None:
    load("mnist", root=mnist)
    (file,) = mnist.rglob("t10k-images-idx3-ubyte")
    file.write_bytes(file.read_bytes()[part])
    with pytest.raises(CrossfireError, match="delete damaged files there") as caught:
        load("mnist", root=mnist)
    assert "\n" not in str(caught.value)


def test_svhn_keeps_channels_first_and_its_training_data_is_loaded_when_used(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = {"X": COLOUR.transpose(2, 3, 1, 0), "y": np.where(LABELS == 0, 10, LABELS)[:, None]}
    scipy.io.savemat(tmp_path / "origin.mat", matrix)
    entry = [f"{site}/origin.mat", "x.mat", md5((tmp_path / "origin.mat").read_bytes())]
    nowhere = [f"{site}/nowhere.mat", "y.mat", entry[2]]
    monkeypatch.setattr(datasets.SVHN, "split_list", {"train": nowhere, "test": entry})
    svhn = load("svhn", root=tmp_path / "data")
    assert torch.equal(svhn.test.images, torch.from_numpy(COLOUR))
    assert svhn.test.labels.tolist() == LABELS.tolist()
    with pytest.raises(CrossfireError, match="cannot load svhn"):
        svhn.train  # noqa: B018
