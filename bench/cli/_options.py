"""Arguments and options that several commands share."""

from pathlib import Path

import click

campaign_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
board = click.option(
    "--board",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("board"),
    show_default=True,
    help="Folder that holds the records and their evidence.",
)
display = click.option(
    "--display",
    type=click.Choice(["rich", "plain", "json", "none"]),
    help="How to show progress.  [default: rich on a terminal, else plain]",
)
dataset = click.option("--dataset", help="Data set.  [default: the model's own, else digits]")
arch = click.option("--arch", help="Architecture, for weights that name none, or FILE.py:FUNCTION.")
weights = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weights for FILE.py:CALLABLE, torchvision: and timm:.",
)
normalize = click.option(
    "--normalize", help="cifar10, imagenet or MEAN,STD, for a model trained on normalised images."
)
device = click.option("--device", help="cpu, cuda or cuda:1.  [default: cuda where there is one]")
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Arithmetic of our attacks; verdicts are float32.",
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of the attacks' randomness.",
)
text_format = click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown"]),
    default="terminal",
    show_default=True,
    help="Output format.",
)
protocol_version = click.option(
    "--protocol-version",
    type=click.IntRange(min=1),
    help="Show records of this version of the protocol.  [default: the newest]",
)
