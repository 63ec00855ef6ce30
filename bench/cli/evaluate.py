"""`bench evaluate`: from models to records."""

from pathlib import Path
from typing import Any

import click

from bench.cli import _options as options
from bench.cli._imports import imports_uncollected


@click.command("evaluate")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--threat",
    default="union",
    show_default=True,
    help="union, linf, l2, l1, or a list such as linf:8/255,l2:0.5.",
)
@click.option(
    "--suite",
    default="pgd-100",
    show_default=True,
    help="Suites of attacks, separated by commas; FILE.py:NAME for an attack of your own.",
)
@options.dataset
@click.option(
    "--budgets",
    help="Budget set of union and of the norms.  [default: the data set's first]",
)
@click.option("--examples", type=click.IntRange(min=1), help="Evaluate the first so many only.")
@options.seed
@options.device
@options.precision
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=None,
    help="Compile the network.  [default: in bf16, for long evaluations]",
)
@click.option(
    "--batch-size",
    "capacity",
    type=click.IntRange(min=1),
    help="Examples attacked at a time.  [default: by device]",
)
@click.option(
    "--union-only",
    is_flag=True,
    help="Skip examples that another threat broke; only the union is then valid.",
)
@options.arch
@options.weights
@options.normalize
@click.option(
    "--ray",
    metavar="auto|HOST:PORT",
    help="Share the work among the workers of a Ray cluster; auto finds one or starts its own.",
)
@click.option(
    "--images/--no-images",
    default=True,
    show_default=True,
    help="Store the adversarial images as evidence; without them less can be verified.",
)
@click.option(
    "--keep-weights",
    is_flag=True,
    help="Store the checkpoint on the board, so that a copy of the board can be verified.",
)
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of checkpoints, if no MODEL is given.",
)
@click.option("--dry-run", is_flag=True, help="Forecast the cost from attacks on a few examples.")
@options.board
@options.display
def command(
    models: tuple[str, ...],
    runs: Path,
    board: Path,
    dry_run: bool,
    display: str | None,
    suite: str,
    **rest: Any,  # noqa: ANN401
) -> None:
    """Attack models and write their records to the board.

    MODEL is a checkpoint's file or folder, FILE.py:CALLABLE, torchvision:NAME, timm:NAME,
    robustbench:ID or hf-hub:REPO. Without one, every training run without a record is evaluated.
    """
    with imports_uncollected():
        from bench.display import shown
        from bench.evaluation.settings import Settings
        from bench.measurement import Measurement, checkpoints, line
        from bench.models import ArchitectureError
        from bench.plugins.specs import split

    own = {
        name: rest.pop(name)
        for name in ("examples", "arch", "weights", "normalize", "ray", "images", "keep_weights")
    }
    settings = Settings(suites=split(suite), **rest)
    measurement = Measurement(settings, board=board, **own)
    for spec in models or checkpoints(runs):
        try:
            if dry_run:
                from bench.evaluation.estimate import estimate

                loaded, evaluation = measurement.prepare(spec)
                click.echo(f"{loaded.name}: {estimate(evaluation)}")
                continue
            with shown(display) as progress:
                record, fresh = measurement.measure(spec, progress)
            click.echo(line(record, fresh))
        except ArchitectureError as error:
            if models:
                raise
            click.echo(f"left out: {error}", err=True)
