"""`bench verify`: records checked from their evidence."""

import time
from pathlib import Path
from typing import Any

import click

from bench.cli import _options as options


@click.command("verify")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="The model, if its weights are not on the board.")
@click.option("--dataset", help="The data set, if the name in the records is not found here.")
@options.arch
@options.weights
@options.normalize
@click.option("--suite", default="", help="Attacks FILE.py:NAME of the records that may be run.")
@click.option(
    "--sample", type=click.IntRange(min=1), help="Number of images of each kind to check."
)
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Exit code 0 even if weights or data of some records are missing.",
)
@options.display
@click.pass_context
def command(
    context: click.Context,
    /,
    records: tuple[Path, ...],
    allow_missing: bool,
    display: str | None,
    suite: str,
    **rest: Any,  # noqa: ANN401
) -> None:
    """Recompute RECORDS, files of a board, from their evidence: VALID or INVALID.

    Weights are read from the board's folder weights, or from the path in the record. A record whose
    weights or data are missing is PARTLY CHECKED.

    Exit code 1 when any is INVALID, else 2 when any is PARTLY CHECKED.
    """
    from bench.display import shown
    from bench.plugins.specs import split
    from bench.verify import Options, summary, verify_all

    chosen = Options(**rest, suites=split(suite) if suite else ())
    reports, start = [], time.monotonic()
    with shown(display if len(records) > 1 else "none") as progress:
        for report in verify_all(records, chosen, progress):
            click.echo(report.text)
            reports.append(report)
    if len(reports) > 1:
        click.echo(summary(reports, time.monotonic() - start))
    outcomes = {report.outcome for report in reports}
    missing = "PARTLY CHECKED" in outcomes and not allow_missing
    context.exit(1 if "INVALID" in outcomes else 2 if missing else 0)
