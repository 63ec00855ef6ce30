"""The page's script ranks as the library does."""

import base64
import json
import shutil
import subprocess
from importlib.resources import files
from typing import Any

import pytest

from bench.report.wording import percent
from leaderboard.ranking import Row, Table, tables
from leaderboard.schema import Record
from leaderboard.seeds import estimate
from leaderboard.statistics import sign_test
from leaderboard.student import two_sided
from tests.records import make_record

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(not NODE, reason="needs node")

RANK = """
const { n, rows } = JSON.parse(require("fs").readFileSync(0));
for (const row of rows) row.moments = moments(row.masks.map(unpack), row.seeds, n);
rank(rows, n);
console.log(JSON.stringify(rows.map(({ id, low, high, moments }) =>
  ({ id, low, high, interval: interval(moments, n) }))));
"""


def board() -> Table:
    levels = {"a": 0.8, "b": 0.78, "c": 0.5, "d": 0.45, "e": 0.1, "f": 0.79}
    runs = {"a": 3, "b": 3, "c": 2, "d": 5, "e": 1, "f": 1}

    def record(name: str, seed: int) -> Record:
        level = levels[name]
        accuracies = (0.9, level, level, level)
        training = {"seed": seed}
        return make_record(name, seed=seed, examples=150, accuracies=accuracies, training=training)

    return tables([record(name, seed) for name in levels for seed in range(runs[name])])[0]


def given(row: Row) -> dict[str, Any]:
    column = row.column("union")
    masks = [base64.b64encode(bytes.fromhex(flags)).decode() for flags in column.flags]
    return {
        "name": row.name,
        "id": row.head.id,
        "flagged": bool(row.flagged),
        "seeds": column.seeds,
        "masks": masks,
    }


def test_the_script_has_the_librarys_ranks_and_intervals() -> None:
    table = board()
    script = (files("bench.report") / "page" / "statistics.js").read_text(encoding="utf-8")
    sent = json.dumps({"n": 150, "rows": [given(row) for row in table.rows[::-1]]})
    done = subprocess.run(
        [str(NODE), "-e", script + RANK], input=sent, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert [(row["id"], row["low"], row["high"]) for row in found] == [
        (row.head.id, *(row.ranks or ())) for row in table.rows
    ]
    for ours, row in zip(found, table.rows, strict=True):
        assert ours["interval"] == pytest.approx(estimate(row.column("union").flags, 150)[1:])


def test_the_sign_test_is_the_librarys_for_many_images() -> None:
    script = (files("bench.report") / "page" / "statistics.js").read_text(encoding="utf-8")
    pairs = [(0, 7), (3, 12), (400, 1_000), (4_800, 10_000), (24_000, 50_000)]
    code = f"{script} console.log(JSON.stringify({json.dumps(pairs)}.map(p => signTest(...p))))"
    done = subprocess.run([str(NODE), "-e", code], capture_output=True, text=True, check=True)
    expected = [sign_test(fewer, n) for fewer, n in pairs]
    assert json.loads(done.stdout) == pytest.approx(expected, rel=1e-8)


def test_percentages_round_ties_as_the_library_does() -> None:
    script = (files("bench.report") / "page" / "page.js").read_text(encoding="utf-8")
    (line,) = (text for text in script.splitlines() if text.startswith("const percent"))
    code = f"{line} console.log([...Array(257).keys()].map(k => percent(k / 256)).join())"
    done = subprocess.run([str(NODE), "-e", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().split(",") == [percent(k / 256) for k in range(257)]


def test_the_tail_over_images_and_seeds_is_the_librarys() -> None:
    script = (files("bench.report") / "page" / "statistics.js").read_text(encoding="utf-8")
    cases = [
        (t, dof, share)
        for t in (0.3, 2.0, 4.0, 30.0)
        for dof in (1, 2, 5, 100)
        for share in (0.0, 0.25, 1.0)
    ]
    code = f"{script} console.log(JSON.stringify({json.dumps(cases)}.map(c => twoSided(...c))))"
    done = subprocess.run([str(NODE), "-e", code], capture_output=True, text=True, check=True)
    expected = [two_sided(*case) for case in cases]
    assert json.loads(done.stdout) == pytest.approx(expected, rel=1e-8)
