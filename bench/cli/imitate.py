"""`bench imitate`: imitation learning on a control task, by L2L's principle and by others'."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from bench.cli import _options as options
from bench.errors import CrossfireError

METHODS = ("bc", "gail", "gail-gp", "l2l", "l2l-unrolled")


def _numbers(context: click.Context, option: click.Parameter, value: str) -> list[int]:
    try:
        numbers = [int(word) for word in value.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not 0 <= min(numbers) <= max(numbers) <= 10_000:
        raise click.BadParameter(f"'{value}' is not a list of numbers from 0 to 10000, as 0,1,2")
    return numbers


@click.command("imitate")
@click.argument("task")
@click.option(
    "--method",
    "methods",
    type=click.Choice(METHODS),
    multiple=True,
    help="What to run; may be given several times.  [default: all]",
)
@click.option(
    "--seeds", default="0,1,2,3,4", show_default=True, callback=_numbers, help="Seeds of the runs."
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Environment steps of each run, in whole rounds, one at least.  [default: the task's own]",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Episodes that the expert demonstrates.",
)
@click.option(
    "--thin",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Of these episodes one step in so many is known.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of expert, results and report.  [default: imitation/TASK]",
)
@options.display
def command(
    task: str,
    methods: tuple[Any, ...],
    seeds: list[int],
    steps: int | None,
    episodes: int,
    thin: int,
    out: Path | None,
    display: str | None,
) -> None:
    """Learn to imitate an expert on Acrobot-v1, Pendulum-v1 or CartPole-v1, and report how it went.

    The expert is trained first and its episodes are kept. Finished runs are not done again; after a
    stop, the same command goes on and ends in the same results.
    """
    if not (find_spec("gymnasium") and find_spec("stable_baselines3")):
        raise CrossfireError("it needs gymnasium; run: pip install 'crossfire-bench[imitation]'")
    from bench.display import shown
    from imitation_learning.study import Study, work

    study = Study(
        task, methods or METHODS, seeds, steps, episodes, thin, out or Path("imitation") / task
    )
    with shown(display) as progress:
        page = work(study, progress)
    click.echo((page.parent / "table.txt").read_text().rstrip())
    click.echo(f"\nThe report: {page}")
