"""`bench doctor`: this installation, or whether a model's robust accuracy is reliable."""

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bench.cli import _options as options


@click.command("doctor")
@click.argument("model", required=False)
@options.dataset
@click.option("--threat", help="One threat, such as linf:8/255.  [default: the data set's first]")
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=96,
    show_default=True,
    help="Use the first so many test images only.",
)
@options.seed
@options.device
@options.arch
@options.weights
@options.normalize
@click.option(
    "--board",
    type=click.Path(file_okay=False, path_type=Path),
    help="Store the diagnosis on this board, whose page shows it beside the model's rows.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "json"]),
    default="terminal",
    show_default=True,
    help="Output format.",
)
@options.display
@click.pass_context
def command(
    context: click.Context,
    /,
    model: str | None,
    board: Path | None,
    form: str,
    display: str | None,
    **rest: Any,  # noqa: ANN401
) -> None:
    """Check whether a model's robust accuracy is reliable; without MODEL, show versions, devices,
    arithmetic, free disk and missing extras, and try checks on models that are broken on purpose.

    MODEL is named as for `bench evaluate`. Exit code 1 if a check fails.
    """
    if model is None:
        _refuse_options(context)
        context.exit(0 if _installation(form) else 1)
    from bench.diagnosis import examine
    from bench.display import shown
    from bench.report.diagnosis import to_text
    from leaderboard.diagnosis import keep, to_json
    from leaderboard.store import Board

    with shown(display) as progress:
        diagnosis = examine(model, progress=progress, **rest)
    if board is not None:
        keep(Board(board), diagnosis)
    click.echo(to_json(diagnosis).rstrip() if form == "json" else to_text(diagnosis))
    context.exit(1 if diagnosis.failed else 0)


def _refuse_options(context: click.Context) -> None:
    """Raise click.UsageError for an option that says something about a model."""
    for option in context.command.params:
        name = option.name or ""
        typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if typed and name not in ("model", "form", "display"):
            raise click.UsageError(f"{option.opts[0]} needs a MODEL.", context)


def _installation(form: str) -> bool:
    """Show it, and return whether every check says what it must."""
    from bench.diagnosis.installation import environment, extras
    from bench.diagnosis.self_test import self_test

    tried = list(self_test())
    rows = [*environment(Path()), *((f"extra {name}", what) for name, what in extras())]
    rows += [(f"check {name}", said) for name, said, _ in tried]
    if form == "json":
        click.echo(json.dumps(dict(rows), indent=1, ensure_ascii=False))
    else:
        width = max(len(name) for name, _ in rows)
        for name, what in rows:
            click.echo(f"{name:{width}}  {what}")
    return all(right for *_, right in tried)
