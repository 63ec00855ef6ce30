"""The tables of a campaign, from records whose accuracies are known."""

import csv
import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from matplotlib.axes import Axes

from bench.campaign.definition.file import read
from bench.campaign.execution.matching import fits
from bench.campaign.execution.plan import Plan, make
from bench.campaign.results.autoattack import alarms
from bench.campaign.results.columns import column_of
from bench.campaign.results.figure import svg
from bench.campaign.results.records import Collected, SeedRecords, collect
from bench.campaign.results.tables import accuracies, comparisons, to_csv
from bench.cli import main
from leaderboard.schema import UNION_ONLY, Finding, Record
from leaderboard.seeds import compare_runs, estimate
from leaderboard.store import Board
from tests.records import make_record, make_table, mcnemar

TEXT = """
seeds = 2

[[run]]
defense = "at"

[[run]]
defense = "trades"

[[evaluate]]

[[compare]]
a = "at"
b = "trades"
under = "linf"
"""
ROOT = Path(__file__).parents[4]
DIGITS = ("linf:0.25", "l2:0.9", "l1:3")
SPENT = {"forward_passes": 1_000_000, "backward_passes": 500_000, "seconds": 12.0}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "c.toml").write_text(TEXT)
    return make(read(tmp_path / "c.toml"))


def record(name: str, seed: int) -> Record:
    return make_record(
        f"{name}-{seed}", dataset="digits", training={"seed": seed, **SPENT}, config={}
    )


@pytest.fixture
def runs() -> Collected:
    return {
        name: {seed: SeedRecords({"best": [record(name, seed)]}) for seed in (0, 1)}
        for name in ("at", "trades")
    }


def test_a_row_has_means_deviations_and_costs(runs: Collected) -> None:
    table = accuracies(runs)
    assert table.head == (
        *("run", "seeds", "clean", "linf pgd-100", "l2 pgd-100", "l1 pgd-100", "union pgd-100"),
        *("passes", "s"),
    )
    at = next(dict(zip(table.head, row, strict=True)) for row in table.rows if row[0] == "at")
    values = column_of(runs, "best", "linf", "pgd-100").values(runs["at"])
    assert at["linf pgd-100"].startswith(f"{sum(values) / 2:.1f} ± ")
    assert (at["seeds"], at["passes"], at["s"]) == ("2", "1,500 k", "12")


def test_verdicts_after_an_alarm_are_counted_by_what_ran() -> None:
    def ran(*names: str) -> SeedRecords:
        message = f"linf:8/255: after an alarm {', '.join(names)} ran, and broke 1 more"
        finding = Finding("A16", "info", message, 1.0)
        return SeedRecords({"best": [make_record(suites=("crossfire",), findings=(finding,))]})

    repaired = ran("margin-more", "margin-repaired", "square-check")
    whole = ran("margin-repaired", "square", "apgd-ce", "apgd-t", "fab")
    table = alarms({"at": {0: ran("margin-more"), 1: repaired, 2: whole}})
    assert table is not None
    assert table.head == ("threat", "verdicts", "repaired", "AutoAttack")
    assert table.rows[0] == ("linf:8/255", "3", "2", "1")
    assert table.rows[1][2:] == ("0", "0")


@pytest.mark.parametrize(("epoch", "is_last"), [(20, True), (19, False)])
def test_the_best_checkpoint_counts_as_the_last_if_its_epoch_was_the_last(
    epoch: int, is_last: bool
) -> None:
    best = make_record("at-0", training={"epoch": epoch, "epochs": 20, **SPENT})
    one = SeedRecords({"best": [best]})
    assert one.of("last") == ([best] if is_last else [])
    measured = SeedRecords({"best": [best], "last": [record("at", 1)]})
    assert measured.of("last") == measured.records["last"]


def test_runs_are_ordered_by_accuracy(runs: Collected) -> None:
    order = [row[0] for row in accuracies(runs).rows]
    column = column_of(runs, "best", "union", "pgd-100")
    union = {name: sum(column.values(seeds)) for name, seeds in runs.items()}
    assert order == sorted(union, key=lambda name: -union[name])


def test_a_pair_is_compared_seed_by_seed_on_the_same_images(plan: Plan, runs: Collected) -> None:
    (row,) = comparisons(plan, runs).rows
    cells = dict(zip(comparisons(plan, runs).head, row, strict=True))
    column = column_of(runs, "best", "linf", "pgd-100")
    pairs = zip(column.values(runs["at"]), column.values(runs["trades"]), strict=True)
    differences = [a - b for a, b in pairs]
    assert float(cells["a − b"]) == pytest.approx(sum(differences) / 2, abs=0.051)
    assert cells["by seed"] == f"{min(differences):+.1f} to {max(differences):+.1f}"


def test_pairs_have_the_p_value_of_the_leaderboards_test(plan: Plan, runs: Collected) -> None:
    one = {name: {0: seeds[0]} for name, seeds in runs.items()}
    cells = dict(zip(comparisons(plan, one).head, comparisons(plan, one).rows[0], strict=True))
    column = column_of(runs, "best", "linf", "pgd-100")
    flags = [column.flags(one[name][0]) or "" for name in ("at", "trades")]
    assert cells["p"] == cells["Holm"] == f"{mcnemar(*flags):.2g}"
    both = [found for name in ("at", "trades") if (found := column.runs(runs[name]))]
    several = dict(zip(comparisons(plan, runs).head, comparisons(plan, runs).rows[0], strict=True))
    assert several["p"] == f"{compare_runs(*both).p:.2g}"
    assert several["seeds"] == "2"


def test_a_record_of_another_recipe_is_omitted(plan: Plan) -> None:
    step = plan.steps["evaluate at-0 best by pgd-100"]
    known: dict[str, Any] = {"source": step.model, "defense": "at", "threats": DIGITS}

    def fitting(config: dict[str, Any], **changes: Any) -> bool:  # noqa: ANN401
        one = make_record("at-0", config=config, **{**known, **changes})
        return fits(one, step, plan.campaign)

    assert fitting({"steps": 10, "training": {"threats": ["linf:0.25"]}})
    assert not fitting({"steps": 20})
    assert not fitting({"training": {"epochs": 3}})
    assert not fitting({"training": {"threats": ["l2:0.9"]}})
    assert not fitting({}, defense="avg")
    assert not fitting({}, threats=DIGITS[:1])
    assert not fitting({}, findings=(Finding(UNION_ONLY, "info", "skipped", None),))


def test_records_of_one_protocol_version_are_collected_the_newest_by_default(plan: Plan) -> None:
    for name, version in (("at", 3), ("trades", 3), ("at", 5)):
        step = plan.steps[f"evaluate {name}-0 best by pgd-100"]
        one = make_record(f"{name}-0", source=step.model, config={}, defense=name, threats=DIGITS)
        versioned = replace(one, protocol=replace(one.protocol, version=version))
        folder = plan.campaign.board_at(step.board)
        Board(folder).append(versioned, make_table(versioned), None)
    assert set(collect(plan, None, print)) == {"at"}
    assert set(collect(plan, 3, print)) == {"at", "trades"}
    assert collect(plan, 4, print) == {}


def test_a_model_is_collected_by_an_evaluation_of_last(tmp_path: Path) -> None:
    text = '[[run]]\nmodel = "mine.py:net"\nname = "net"\n[[evaluate]]\ncheckpoint = "last"\n'
    (tmp_path / "c.toml").write_text(text)
    own = make(read(tmp_path / "c.toml"))
    one = make_record("net", source="mine.py:net", threats=DIGITS)
    Board(own.campaign.board_at("board")).append(one, make_table(one), None)
    (seed,) = collect(own, None, print)["net"].values()
    assert seed.of("last") == seed.of("best")
    assert [found.clean for found in seed.of("last")] == [one.clean]


def test_damaged_records_are_named(plan: Plan) -> None:
    path = plan.campaign.board_at("board") / "records" / "0123.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    done = CliRunner().invoke(main, ["results", str(plan.campaign.path)])
    assert f"warning: skipped the damaged record {path}" in done.stderr


def test_csv_has_deviations_in_columns_of_their_own(plan: Plan, runs: Collected) -> None:
    rows = list(csv.reader(io.StringIO(to_csv([accuracies(runs), comparisons(plan, runs)]))))
    assert rows[0][2:4] == ["clean", "clean sd"]
    assert {row[-2] for row in rows[1:3]} == {"1500000"}
    assert float(rows[1][2]) > 0
    assert rows[3] == []


def test_the_figure_is_valid_svg_and_deterministic(runs: Collected) -> None:
    logs = {"at": [[{"union": 0.1}, {"union": 0.3}]]}
    picture = svg(runs, logs)
    assert ET.fromstring(picture).tag.endswith("svg")
    assert picture == svg(runs, logs)
    assert "trades" in picture


def test_intervals_of_the_figure_are_those_of_the_leaderboard(
    runs: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, tuple[float, float, float]] = {}

    def errorbar(
        _: Axes, x: float, y: float, errors: list[list[float]], *, label: str, **__: object
    ) -> None:
        drawn[label] = (y, y - errors[0][0], y + errors[1][0])

    monkeypatch.setattr(Axes, "errorbar", errorbar)
    svg(runs, {})
    for name, seeds in runs.items():
        flags = [one.records["best"][0].union for one in seeds.values()]
        assert drawn[name] == pytest.approx([100 * x for x in estimate(flags, 40)])


@pytest.mark.parametrize(
    ("file", "version", "run", "seeds"),
    [
        ("leaderboard/digits.toml", "6", "mat", "5"),
        ("leaderboard/digits.toml", "5", "mat", "5"),
        ("leaderboard/digits.toml", "3", "mat", "6"),
        ("leaderboard/digits.toml", "3", "mat-linf-alpha-0.75", "1"),
        ("benchmarks/trials.toml", "6", "mat-linf-60", "5"),
    ],
)
def test_the_projects_campaigns_read_the_published_records(
    file: str, version: str, run: str, seeds: str
) -> None:
    command = ["results", str(ROOT / file), "--protocol-version", version, "--format", "csv"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0
    runs = csv.DictReader(io.StringIO(done.stdout.partition("\n\n")[0]))
    assert {row["run"]: row["seeds"] for row in runs}[run] == seeds


def test_the_table_for_a_terminal_is_not_written_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(TEXT)
    done = CliRunner().invoke(main, ["results", str(tmp_path / "c.toml"), "--out", "a.txt"])
    assert done.exit_code == 2
    assert "--out needs a --format for files" in done.stderr


def test_without_records_the_message_names_the_command_to_run(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(TEXT)
    done = CliRunner().invoke(main, ["results", str(tmp_path / "c.toml")])
    assert done.exit_code == 2
    assert "begin with: bench run" in done.stderr
