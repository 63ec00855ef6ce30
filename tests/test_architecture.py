"""Who may import whom: every import points down, and the measured never touches the measure."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "defenses", "leaderboard")

FLOORS: tuple[tuple[str, ...], ...] = (
    ("bench.cli",),
    (
        "bench.campaign",
        "bench.catalogue",
        "bench.doctor",
        "bench.estimate",
        "bench.scaffold",
        "bench.demo",
        "bench.diagnosis",
        "bench.measure",
    ),
    ("bench", "bench.cluster", "bench.record", "bench.speed", "bench.verify"),
    ("bench.evaluator",),
    ("bench.aftermath", "bench.outcome"),
    ("bench.engine", "bench.journal", "bench.protocol", "defenses"),
    ("bench.work",),
    ("bench.training", "bench.suites", "bench.audit", "bench.repair"),
    ("bench.judge", "bench.compiled", "bench.precision"),
    ("bench.attacks", "bench.peers"),
    ("bench.models.attackers", "bench.models.sources"),
    ("bench.geometry",),
    ("bench.checkpoint", "bench.data", "bench.report"),
    ("bench.losses", "bench.models", "bench.registry", "bench.threats", "leaderboard"),
    ("bench.cpu", "bench.display", "bench.environment"),
    ("bench.crossing", "bench.files", "bench.streams", "bench.types"),
    ("bench.errors",),
)
"""Top down. A module may import its own floor and what lies below it."""

DEFENSES_MAY_USE = (
    *("bench.types", "bench.threats", "bench.geometry", "bench.losses", "bench.attacks.pgd"),
    *(
        "bench.models",
        "bench.data",
        "bench.checkpoint",
        "bench.compiled",
        "bench.precision",
        "bench.training",
    ),
    *("bench.errors", "bench.files", "bench.streams"),
)
LEADERBOARD_MAY_USE = (
    *sys.stdlib_module_names,
    "leaderboard",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
)
COMMANDS_MAY_USE = (*sys.stdlib_module_names, "bench.cli", "bench.errors", "click")


def sources() -> dict[str, str]:
    """Every module of the three packages, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path.read_text()
    return found


def imported(source: str, modules: Mapping[str, str]) -> Iterator[str]:
    """What a module imports, anywhere in it; `from bench import data` is the module bench.data."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports in full"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else str(node.module)


def within(module: str, names: tuple[str, ...]) -> bool:
    """Whether a module is one of these or inside one; `bench` stands for its own file alone."""
    return any(
        module == name or (name != "bench" and module.startswith(f"{name}.")) for name in names
    )


def floor(module: str) -> int:
    """The floor of the longest listed name that the module belongs to."""
    homes = {name: level for level, names in enumerate(FLOORS) for name in names}
    fitting = [name for name in homes if within(module, (name,))]
    assert fitting, f"{module} is on no floor: add it to FLOORS"
    return homes[max(fitting, key=len)]


def violations(modules: Mapping[str, str]) -> list[str]:
    found = []
    for module, source in sorted(modules.items()):
        for target in imported(source, modules):
            if why := broken_rule(module, target):
                found.append(f"{module} imports {target}: {why}")
        if module.startswith("bench.cli."):
            targets = imported(at_module_level(source), modules)
            heavy = [target for target in targets if not within(target, COMMANDS_MAY_USE)]
            found += [f"{module} imports {target} before it is needed" for target in heavy]
    return found


def broken_rule(module: str, target: str) -> str | None:
    ours = target.split(".")[0] in PACKAGES
    match module.split(".")[0], target.split(".")[0]:
        case "leaderboard", _:
            if not within(target, LEADERBOARD_MAY_USE):
                return "the memory needs the standard library, pandas, pyarrow and scipy alone"
        case "bench", "defenses":
            return "defenses are found by name, through the registry"
        case "defenses", "bench" | "leaderboard":
            if not within(target, DEFENSES_MAY_USE):
                return "the measured never touches the measure"
    return "imports point down" if ours and floor(target) < floor(module) else None


class Started(ast.NodeTransformer):
    """Leaves of a module what runs when it is imported."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.Pass:
        return ast.Pass()

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.Pass() if ast.unparse(node.test) == "TYPE_CHECKING" else node


def at_module_level(source: str) -> str:
    return ast.unparse(Started().visit(ast.parse(source)))


def test_every_import_points_down() -> None:
    assert violations(sources()) == []


def test_every_module_is_on_a_floor() -> None:
    assert all(floor(module) >= 0 for module in sources())


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("leaderboard.store", "import torch"),
        ("leaderboard.store", "def f():\n    from bench.files import write_atomic"),
        ("bench.training", "from defenses.at import AT"),
        ("defenses.mat", "from bench import evaluator"),
        ("defenses.mat", "import bench.engine"),
        ("defenses.mat", "from leaderboard.store import Board"),
        ("bench.attacks.pgd", "from bench.evaluator import evaluate"),
        ("bench.geometry", "from bench.attacks import pgd"),
        ("bench.evaluator", "import bench.cli"),
        ("bench.cli.train", "from bench.training import Job"),
        ("bench.cli.train", "import torch"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    modules = {**dict.fromkeys(["bench.evaluator", "bench.attacks.pgd"], ""), module: source}
    assert len(violations(modules)) == 1


@pytest.mark.parametrize("imports", ["bench.threats, bench.files, bench.display", "leaderboard"])
def test_what_reads_records_needs_no_torch(imports: str) -> None:
    code = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
