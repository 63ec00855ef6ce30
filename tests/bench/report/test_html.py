import base64
import json
import re
from pathlib import Path

import pytest

from bench.report import render
from leaderboard.diagnosis import keep
from leaderboard.ranking import tables
from leaderboard.schema import Finding
from leaderboard.store import Board
from tests.leaderboard.test_diagnosis import FAIL, PASS, make_diagnosis
from tests.records import make_images, make_record, make_table

FLAG = Finding("A8", "flag", "Square breaks <3> examples", 3.0)


@pytest.fixture
def page(tmp_path: Path) -> str:
    board = Board(tmp_path / "board")
    for record in (make_record("<b>at</b>"), make_record("masked", findings=(FLAG,))):
        images = make_images(record, tmp_path / f"{record.id}.safetensors")
        board.append(record, make_table(record), images)
    return render(tables(board.records()), "html", board=board.folder)


def test_the_page_needs_no_network(page: str) -> None:
    assert "default-src 'none'" in page
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert addresses
    assert all(address.startswith("data:image/png") for address in addresses)
    assert "@import" not in page
    assert "url(" not in page


def test_names_are_escaped(page: str) -> None:
    assert "<b>at</b>" not in page
    assert "&lt;b&gt;at&lt;/b&gt;" in page
    assert "Square breaks &lt;3&gt; examples" in page


def test_the_page_is_complete_without_its_script(page: str) -> None:
    body = page.partition("<template")[0]
    assert "Not ranked: an audit flag is open" in body
    assert body.count('class="value"') >= 10


def test_the_script_gets_the_flags_of_every_run(page: str) -> None:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    (table,) = json.loads(text)
    assert table["examples"] == 40
    assert [row["flagged"] for row in table["rows"]] == [False, True]
    assert set(table["rows"][0]["runs"][0]) == {
        "clean",
        "linf:8/255/pgd-100",
        "l2:0.5/pgd-100",
        "l1:12/pgd-100",
    }


def test_a_card_shows_provenance_command_and_evidence(page: str) -> None:
    card = page.partition("<template")[2].partition("</template>")[0]
    for words in (
        "Accuracy against ε",
        "Examples robust after each attack",
        "Adversarial examples",
        "Provenance",
    ):
        assert words in card
    assert "bench evaluate runs/" in card
    assert card.count("<figure>") > 3


def test_a_board_without_evidence_still_has_its_page() -> None:
    page = render(tables([make_record("at")]), "html")
    assert "Provenance" in page
    assert "<figure>" not in page


def test_the_page_is_deterministic(tmp_path: Path) -> None:
    records = [make_record(f"m{i}", seed=i) for i in range(4)]
    assert render(tables(records), "html") == render(tables(records[::-1]), "html")


def test_published_rows_wait_for_their_threat_alone() -> None:
    page = render(tables([make_record("at")]), "html", published=True)
    rows = re.findall(r'<tr class="published" hidden data-threat="([^"]*)"', page)
    assert set(rows) == {"linf:8/255", "l2:0.5"}
    assert "published" not in re.findall(r"<tr[^>]*>", render(tables([make_record("at")]), "html"))


def test_a_card_shows_what_the_doctor_found_about_the_weights(tmp_path: Path) -> None:
    board, record = Board(tmp_path), make_record()
    board.append(record, make_table(record), None)
    keep(board, make_diagnosis(PASS, FAIL, weights=record.model.weights_sha256))
    page = render(tables(board.records()), "html", board=board.folder)
    card = page.partition("<template")[2].partition("</template>")[0]
    assert "Is the number reliable?" in card
    assert "a black box breaks more" in card
    assert "outputs not finite" not in card
    without = render(tables(board.records()), "html", board=tmp_path / "elsewhere")
    assert "Is the number reliable?" not in without


def test_damaged_evidence_is_named_on_its_card_and_the_rest_is_shown(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    for record in (make_record("at"), make_record("trades")):
        images = make_images(record, tmp_path / f"{record.id}.safetensors")
        board.append(record, make_table(record), images)
    for suffix in ("parquet", "safetensors"):
        path = min((board.folder / "evidence").glob(f"*.{suffix}"))
        path.write_bytes(path.read_bytes()[:200])
    page = render(tables(board.records()), "html", board=board.folder)
    assert "The files of evidence are damaged: " in page
    assert page.count("<template data-card") == 2


def test_the_script_gets_the_runs_in_the_order_of_their_seeds() -> None:
    records = [make_record("a", seed=s, training={"seed": s}, config={}) for s in (2, 0, 1)]
    page = render(tables(records), "html")
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    (row,) = json.loads(text)[0]["rows"]
    assert row["seeds"] == [0, 1, 2]
    sent = [base64.b64decode(run["clean"]).hex() for run in row["runs"]]
    assert sent == [record.clean for record in (records[1], records[2], records[0])]
