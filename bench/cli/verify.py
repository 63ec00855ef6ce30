"""`bench verify`: records, examined again from their evidence."""

from pathlib import Path
from typing import Any

import click


@click.command("verify")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="The model, where the record doesn't name a checkpoint that is here.")
@click.option("--dataset", help="The data set, where it isn't where the record says.")
@click.option("--arch", help="Architecture, for a file of weights that names none.")
@click.option("--weights", type=click.Path(path_type=Path), help="Weights for --model.")
@click.option("--normalize", help="Normalisation for --model: cifar10, imagenet or MEAN,STD.")
@click.option("--sample", type=click.IntRange(min=1), help="Images of each kind to examine.")
@click.pass_context
def command(
    context: click.Context,
    /,
    records: tuple[Path, ...],
    **options: Any,  # noqa: ANN401
) -> None:
    """Recompute RECORDS, files of a board, from their evidence: VALID or INVALID.

    Exit code 1 when any of them is INVALID.
    """
    from bench.verify import Options, verify

    reports = [verify(path, Options(**options)) for path in records]
    for report in reports:
        name = report.record.model.name if report.record else "not a record"
        click.echo(f"{'VALID' if report.valid else 'INVALID'} {report.path} ({name})")
        for failure in report.failures:
            click.echo(f"  {failure.rule}: {failure.message}")
        if report.unchecked:
            rules = ", ".join(report.unchecked)
            click.echo(f"  not checked, adversarial examples were left out: {rules}")
    context.exit(0 if all(report.valid for report in reports) else 1)
