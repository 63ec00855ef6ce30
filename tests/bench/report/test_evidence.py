import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.report.combined import under
from bench.report.evidence import cascades, curves, read_table
from bench.report.pictures import data_url, pictures, triptych
from leaderboard.flags import count, unpack
from leaderboard.schema import Record
from leaderboard.store import Board, column
from tests.records import make_images, make_record, make_table

THREATS = ("linf:4/255", "linf:8/255", "l2:0.5")


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return tmp_path / "board"


@pytest.fixture
def record(board: Path, tmp_path: Path) -> Record:
    record = make_record(threats=THREATS, examples=100)
    images = make_images(record, tmp_path / "images.safetensors")
    return Board(board).append(record, make_table(record), images)


def test_a_curve_goes_through_the_measured_points_and_never_rises(
    board: Path, record: Record
) -> None:
    table = read_table(board, record)
    assert table is not None
    linf, l2 = curves(record, table)
    assert (linf.norm, l2.norm) == ("linf", "l2")
    assert [p.epsilon for p in linf.points] == pytest.approx([0, 4 / 255, 8 / 255])
    assert linf.points[0].accuracy == count(record.clean) / 100
    assert l2.points[1].accuracy == count(under(record, "l2:0.5")) / 100
    for curve in (linf, l2):
        shares = [share for _, share in curve.line]
        assert shares == sorted(shares, reverse=True)
        assert curve.line[0] == (0.0, curve.points[0].accuracy)


def test_an_example_is_broken_from_the_smallest_perturbation_found(
    board: Path, record: Record
) -> None:
    table = read_table(board, record)
    assert table is not None
    l2 = curves(record, table)[1]
    before = [share for epsilon, share in l2.line if epsilon < 0.45]
    after = [share for epsilon, share in l2.line if epsilon > 0.45]
    assert set(before) == {count(record.clean) / 100}
    assert set(after) == {l2.points[1].accuracy}


def test_cascades_lead_from_clean_accuracy_to_the_verdict(board: Path, record: Record) -> None:
    table = read_table(board, record)
    assert table is not None
    union, *others = cascades(record, table)
    assert [name for name, _ in union.steps] == ["clean", "ℓ∞ 4/255", "ℓ∞ 8/255", "ℓ2 0.5"]
    assert union.steps[-1][1] == count(record.union)
    for cascade, verdict in zip(others, record.verdicts, strict=True):
        assert cascade.steps == [("clean", count(record.clean)), ("pgd-ce", count(verdict.flags))]


def test_attacks_come_in_the_order_in_which_they_ran(board: Path, record: Record) -> None:
    table = read_table(board, record)
    assert table is not None
    attack, passes = (column("l2:0.5", "pgd-100", what) for what in ("attack", "passes"))
    broken = np.flatnonzero(table[attack].notna())
    table.loc[broken[3:], attack] = "apgd-first"
    table.loc[broken[:3], attack] = "square-last"
    table.loc[broken[:3], passes] = 5000
    steps = cascades(record, table)[-1].steps
    assert [name for name, _ in steps] == ["clean", "apgd-first", "square-last"]
    assert steps[1][1] - steps[2][1] == 3


def test_pictures_show_broken_examples_of_every_threat(board: Path, record: Record) -> None:
    table = read_table(board, record)
    assert table is not None
    shown = pictures(board, record, table)
    assert {picture.threat for picture in shown} == set(THREATS)
    clean = unpack(record.clean, 100)
    for picture in shown:
        verdict = next(v for v in record.verdicts if v.threat == picture.threat)
        assert clean[picture.example]
        assert not unpack(verdict.flags, 100)[picture.example]
        assert picture.label == picture.example % 10
        assert picture.png.startswith("data:image/png;base64,")


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_images_that_are_neither_grey_nor_in_colour_have_no_pictures(
    tmp_path: Path, channels: int
) -> None:
    record = make_record(threats=THREATS, examples=100)
    images = make_images(record, tmp_path / "images.safetensors", channels)
    record = Board(tmp_path).append(record, make_table(record), images)
    table = read_table(tmp_path, record)
    assert table is not None
    assert pictures(tmp_path, record, table) == []


def test_missing_evidence_is_no_error(board: Path, record: Record) -> None:
    table = read_table(board, record)
    assert table is not None
    assert record.evidence is not None
    assert record.evidence.adversarial is not None
    (board / record.evidence.adversarial.file).unlink()
    assert pictures(board, record, table) == []
    (board / record.evidence.table.file).unlink()
    assert read_table(board, record) is None


def test_a_picture_shows_image_adversarial_image_and_difference() -> None:
    original = np.full((3, 2, 2), 51, np.uint8)
    adversarial = np.full((3, 2, 2), 0.2, np.float32)
    adversarial[:, 0, 0] = 0.3
    pixels = triptych(original, adversarial)
    assert pixels.shape == (2, 8, 3)
    assert (pixels[:, :2] == 51).all()
    assert (pixels[0, 3] == 76).all()
    assert (pixels[0, 6] == 255).all()
    assert (pixels[1, 6] == 128).all()


def test_large_pictures_are_reduced() -> None:
    original = np.zeros((1, 224, 200), np.uint8)
    assert triptych(original, original.astype(np.float32)).shape == (56, 152, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_address_holds_the_picture_as_png(channels: int) -> None:
    pixels = np.arange(12 * channels, dtype=np.uint8).reshape(3, 4, channels)
    _, _, text = data_url(pixels).partition("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        assert (np.asarray(image).reshape(pixels.shape) == pixels).all()
