"""`bench speed`: the time of this engine and of other installed toolboxes."""

from functools import partial
from pathlib import Path
from typing import Literal

import click

from bench.cli import _options as options


@click.command("speed")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dataset", help="Data set.  [default: the first model's own, else digits]")
@click.option("--threat", default="union", show_default=True, help="Threats to compare under.")
@click.option("--suite", default="crossfire,autoattack", show_default=True, help="Our suites.")
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Attack the first so many only.",
)
@options.precision
@click.option("--reference/--no-reference", default=True, help="Run pyautoattack too (slow).")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the other toolboxes' results: stored ones are reused, new ones added.",
)
@options.text_format
def command(
    models: tuple[str, ...],
    dataset: str | None,
    threat: str,
    suite: str,
    examples: int,
    precision: Literal["auto", "fp32", "bf16"],
    reference: bool,
    keep: Path | None,
    form: str,
) -> None:
    """Time this engine against pyautoattack and, for PGD-100, against installed toolboxes.

    All run on the same models and images, one after the other, on a GPU if there is one.
    """
    from bench.data import load
    from bench.evaluation.attacked import choose_device
    from bench.measurement import own_dataset
    from bench.models.sources import find
    from bench.plugins import specs
    from bench.report.listing import render
    from bench.speed.run import Bench, report
    from bench.threats import budget_dataset, resolve

    name = dataset or own_dataset(models[0])
    data = load(name)
    split = data.test.take(examples)
    device = choose_device(None)
    found = {spec: find(spec, data).model.to(device) for spec in models}
    images, labels = split.floats().to(device), split.labels.to(device)
    bench = Bench(images, labels, specs.split(suite), precision, reference, keep)
    home = budget_dataset(name, tuple(split.images.shape[1:]))
    notify = partial(click.echo, err=True)
    click.echo(render(report(found, bench, resolve(threat, home), notify), form))
