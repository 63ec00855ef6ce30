"""Which modules may import which: imports go to lower layers; defenses never use the evaluation."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "defenses", "imitation_learning", "leaderboard")

LAYERS: tuple[tuple[str, ...], ...] = (
    ("bench.cli",),
    ("bench.campaign", "bench.catalogue", "bench.diagnosis"),
    ("bench.measurement",),
    ("bench", "bench.cluster", "bench.speed", "bench.verify"),
    ("bench.evaluation", "defenses", "imitation_learning"),
    ("bench.training",),
    ("bench.attacks",),
    ("bench.models",),
    ("bench.data", "bench.report"),
    ("bench.compute", "bench.threats"),
    ("bench.losses", "bench.plugins", "leaderboard"),
    ("bench.display", "bench.files", "bench.types"),
    ("bench.errors",),
)
"""Top down. A folder imports only folders of lower layers; imports within one have no cycle."""

DEFENSES_MAY_USE = (
    *("bench.types", "bench.threats", "bench.losses", "bench.attacks.pgd", "bench.models"),
    *("bench.data", "bench.training", "bench.errors", "bench.files"),
    *("bench.compute.compilation", "bench.compute.precision", "bench.compute.random_streams"),
)
IMITATION_MAY_USE = ("bench.display", "bench.errors", "bench.files")
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
    """Every module of the packages, by its dotted name."""
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


def entry(module: str) -> str:
    """The entry of LAYERS that the module belongs to."""
    fitting = [name for names in LAYERS for name in names if within(module, (name,))]
    assert fitting, f"{module} is in no layer: add it to LAYERS"
    return max(fitting, key=len)


def layer(module: str) -> int:
    """The number of a module's layer, counted from the top."""
    return next(level for level, names in enumerate(LAYERS) if entry(module) in names)


def cycle(modules: Mapping[str, str]) -> list[str]:
    """The modules of a cycle of imports, if there is one."""
    graph = {
        module: {target for target in imported(source, modules) if target != module}
        for module, source in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


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
                return (
                    "leaderboard uses only the standard library, numpy, pandas, pyarrow and scipy"
                )
        case "bench", "defenses":
            return "defenses are loaded by name, through the registry"
        case "defenses", "bench" | "leaderboard":
            if not within(target, DEFENSES_MAY_USE):
                return "defenses never use the evaluation or the leaderboard"
        case "imitation_learning", "bench" | "defenses" | "leaderboard":
            if not within(target, IMITATION_MAY_USE):
                return "it shares errors, files and progress with the benchmark, nothing else"
        case "bench" | "defenses", "imitation_learning":
            if module != "bench.cli.imitate":
                return "only its command imports it"
    if ours and entry(module) != entry(target) and layer(target) <= layer(module):
        return "imports go to lower layers"
    return None


class ImportTime(ast.NodeTransformer):
    """Keeps only the statements of a module that run when it is imported."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.Pass:
        return ast.Pass()

    def visit_If(self, node: ast.If) -> ast.AST:
        return ast.Pass() if ast.unparse(node.test) == "TYPE_CHECKING" else node


def at_module_level(source: str) -> str:
    return ast.unparse(ImportTime().visit(ast.parse(source)))


def test_every_import_goes_to_a_lower_layer() -> None:
    assert violations(sources()) == []


def test_every_module_is_in_a_layer() -> None:
    assert all(layer(module) >= 0 for module in sources())


def test_imports_have_no_cycle() -> None:
    assert cycle(sources()) == []
    assert cycle({"bench.a": "import bench.b", "bench.b": "import bench.a"}) != []


def test_few_modules_are_outside_a_folder() -> None:
    assert len(list((ROOT / "bench").glob("*.py"))) <= 8


def test_tests_mirror_the_packages() -> None:
    """A folder of tests is one of the package that it tests."""
    for package in PACKAGES:
        for path in (ROOT / "tests" / package).rglob("test_*.py"):
            assert (ROOT / path.parent.relative_to(ROOT / "tests")).is_dir(), path


def test_no_file_is_longer_than_300_lines() -> None:
    folders = (*PACKAGES, "benchmarks", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in paths if len(path.read_text().splitlines()) > 300] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("leaderboard.store", "import torch"),
        ("leaderboard.store", "def f():\n    from bench.files import write_atomic"),
        ("bench.training", "from defenses.at import AT"),
        ("defenses.mat", "from bench import evaluator"),
        ("defenses.mat", "import bench.evaluation.engine"),
        ("defenses.mat", "from leaderboard.store import Board"),
        ("imitation_learning.run", "import bench.evaluation.engine"),
        ("imitation_learning.run", "from defenses.l2l import L2L"),
        ("bench.measurement", "import imitation_learning.study"),
        ("bench.attacks.pgd", "from bench.evaluation.evaluator import evaluate"),
        ("bench.threats.geometry", "from bench.attacks import pgd"),
        ("bench.evaluation.evaluator", "import bench.cli"),
        ("bench.cli.train", "from bench.training import Job"),
        ("bench.cli.train", "import torch"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    modules = {
        **dict.fromkeys(["bench.evaluation.evaluator", "bench.attacks.pgd"], ""),
        module: source,
    }
    assert len(violations(modules)) == 1


@pytest.mark.parametrize("imports", ["bench.threats, bench.files, bench.display", "leaderboard"])
def test_reading_records_does_not_import_torch(imports: str) -> None:
    code = f"import sys, {imports}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_names_of_bench_are_listed_without_an_import_of_torch() -> None:
    code = "import sys, bench; sys.exit('evaluate' not in dir(bench) or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
