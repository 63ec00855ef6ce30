"""The command that trains one defense."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from bench.cli import _options
from bench.cli._fields import options


def training(name: str) -> click.Command:
    """`bench train NAME`, with the fields of the defense and of the job as its options.

    Raises:
        CrossfireError: there is no such defense, or a field of it has the name of an option that
            every training has.
    """
    from bench.plugins.registry import get_defense
    from bench.training import Job, recipes
    from bench.training.start import check_fields, default_threat

    kind = get_defense(name)
    check_fields(name, kind)
    first = [_recipe_option(recipes(kind)), *_threat_options(default_threat(kind))]
    command = click.Command(name, help=kind.__doc__)
    command.params = [*first, *options(kind), *options(Job)]
    command.callback = lambda **values: _train(name, kind, values)
    return _options.display(command)


def _recipe_option(recipes: Mapping[str, Mapping[str, Any]]) -> click.Option:
    """`--recipe`, whose values become the defaults of the other options."""

    def set_defaults(context: click.Context, _: click.Parameter, recipe: str | None) -> None:
        context.default_map = {**(context.default_map or {}), **recipes.get(recipe or "", {})}

    return click.Option(
        ["--recipe"],
        type=click.Choice(list(recipes)),
        callback=set_defaults,
        expose_value=False,
        is_eager=True,
        help="Named values of the options below; options that are also given override them.",
    )


def _threat_options(default: str) -> list[click.Option]:
    """The threats, their budgets, and the folder."""
    return [
        click.Option(
            ["--threat"],
            default=default,
            show_default=True,
            help="union, linf, l2, l1, or a list such as linf:8/255,l2:0.5.",
        ),
        click.Option(
            ["--budgets"], help="Budget set of the norms.  [default: the data set's first]"
        ),
        click.Option(
            ["--out"], type=click.Path(path_type=Path), help="Folder.  [default: runs/NAME]"
        ),
    ]


def _train(name: str, kind: type, values: dict[str, Any]) -> None:
    """Train the defense `kind` with the values of all options, and print a summary."""
    from bench.display import shown
    from bench.training import Job, check_ranges, check_used, default_folder, summary, threats_of

    own = {item.name: values.pop(item.name) for item in fields(kind) if item.name in values}
    with shown(values.pop("display")) as progress:
        threats = threats_of(values.pop("threat"), values["dataset"], values.pop("budgets"))
        out = values.pop("out") or default_folder(Path(name).stem, kind, threats, values)
        job = Job(
            out,
            threats,
            **values,
            progress=progress,
            notify=lambda text: click.echo(text, err=True),
        )
        defense = kind(**own)
        check_ranges(defense)
        check_used(defense, several=len(threats) > 1)
        defense.fit(job)
    if job.fabric.is_global_zero:
        click.echo(summary(out))
