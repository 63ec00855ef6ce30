import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from bench.cli import main
from bench.registry import get_defense
from leaderboard.store import Board
from tests.small import small_job


def run(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_adversarial_images_are_left_out_on_demand_and_the_record_says_so(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    common = (tmp_path / "run", "--threat", "linf:0.1", "--examples", 8, "--device", "cpu")
    run("evaluate", *common, "--no-images", "--board", tmp_path / "bare")
    run("evaluate", *common, "--board", tmp_path / "full")
    (bare,), (full,) = (Board(tmp_path / name).records() for name in ("bare", "full"))
    assert bare.evidence is not None
    assert bare.evidence.adversarial is None
    assert full.evidence is not None
    assert full.evidence.adversarial is not None
    assert bare.measured == full.measured
    said = run("verify", Board(tmp_path / "bare").path(bare))
    assert said.startswith("VALID")
    assert "left out: V07, V08, V10" in said


def test_a_record_is_known_by_its_arithmetic_too(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    board = ("--board", tmp_path / "board")
    measure = ("evaluate", tmp_path / "run", "--threat", "linf:0.1", "--examples", 8, *board)
    cpu = ("--device", "cpu", "--precision")
    assert "measured before" not in run(*measure, *cpu, "bf16")
    assert "measured before" not in run(*measure, *cpu, "fp32")
    assert "measured before" in run(*measure, *cpu, "fp32")
    assert "measured before" in run(*measure, *cpu, "auto")
    records = Board(tmp_path / "board").records()
    assert sorted(record.environment.precision for record in records) == ["bf16", "fp32"]
    (row,) = json.loads(run("report", *board, "--format", "json"))[0]
    assert row["arithmetic"] == "fp32"
    ids = [record.id[:8] for record in records]
    assert "fp32" in run("compare", *ids, *board)


def test_an_evaluation_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    code = """
import sys
from bench.cli import main
try:
    main(["evaluate", "run", "--threat", "linf:0.1", "--examples", "8", "--display", "plain"])
except SystemExit as end:
    assert not end.code, end.code
heavy = {"lightning_fabric", "torchvision", "sklearn", "scipy", "matplotlib", "PIL", "triton"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
