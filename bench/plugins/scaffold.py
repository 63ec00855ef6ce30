"""The beginning of a defense: a file that already trains, its test, its line in the documents."""

import re
from pathlib import Path

from bench.errors import CrossfireError
from bench.files import write_atomic
from bench.plugins.registry import defenses

DOCUMENT = Path("docs/reference/defenses.md")
"""The table of all defenses, in a checkout."""
WHAT = "what it minimises, in one line (Author et al. 2025, arXiv:0000.00000)."

DEFENSE = '''\
"""{title}: {what}"""

from dataclasses import dataclass, field

from bench.losses import cross_entropy
from bench.training import Job, Run, adversarial


@dataclass(frozen=True)
class {class_name}:
    """What it does, in one sentence: this is the command's help."""

    steps: int = field(default=10, metadata={{"help": "PGD steps."}})

    def fit(self, job: Job) -> None:
        """Train, and leave the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x_adv = adversarial(net, batch, job.threat, steps=self.steps)
            run.step(cross_entropy(net(x_adv), batch.y).mean())
'''

TEST = '''\
"""{title}: what sets it apart from other defenses, against its paper's formula."""

from pathlib import Path

from bench.models.checkpoint import load
from bench.plugins.registry import get_defense
from bench.threats import Threat
from bench.training import Job

{constant} = get_defense({source})


def test_a_short_training_leaves_a_checkpoint(tmp_path: Path) -> None:
    threats = (Threat.parse("linf:0.1"),)
    job = Job(tmp_path, threats, arch="cnn-w4", examples=64, epochs=1, device="cpu")
    {constant}(steps=1).fit(job)
    _, metadata = load(tmp_path)
    assert (metadata.defense, metadata.config["steps"]) == ("{key}", 1)
'''


def new_defense(name: str, folder: Path) -> list[Path]:
    """Write a defense called `name` and its test, and return what was written.

    In a checkout of Crossfire they go to defenses/ and tests/defenses/, and the table of the
    documents gets a line; elsewhere both lie in `folder`, for `bench train NAME.py`.

    Raises:
        CrossfireError: the name is taken or is none, or a file of that name is there.
    """
    key, module = name.replace("_", "-"), name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", key):
        raise CrossfireError(f"'{name}' is no name for a defense; write for example my-defense")
    if key in defenses():
        raise CrossfireError(f"there is a defense '{key}' already; choose another name")
    words = {
        **{"key": key, "what": WHAT, "title": key.upper() if len(key) < 5 else key.capitalize()},
        "class_name": "".join(part.capitalize() for part in key.split("-")),
        "constant": module.upper(),
    }
    inside = (folder / "defenses" / "__init__.py").is_file() and (folder / DOCUMENT).is_file()
    source = folder / "defenses" / f"{module}.py" if inside else folder / f"{module}.py"
    test = (folder / "tests" / "defenses" if inside else folder) / f"test_{module}.py"
    for path in (source, test):
        if path.exists():
            raise CrossfireError(f"{path} is there already; choose another name")
    where = f'"{key}"' if inside else f'str(Path(__file__).with_name("{module}.py"))'
    write_atomic(source, DEFENSE.format(**words).encode())
    write_atomic(test, TEST.format(**words, source=where).encode())
    return [source, test, *([_document(folder / DOCUMENT, words)] if inside else [])]


def _document(page: Path, words: dict[str, str]) -> Path:
    """Put a row into the table, which is in the order of the names."""
    lines = page.read_text().splitlines()
    row = f"| `{words['key']}` | {words['title']}: {words['what']} |"
    rows = [number for number, line in enumerate(lines) if line.startswith("| `")]
    place = next((n for n in rows if lines[n] > row), rows[-1] + 1)
    write_atomic(page, "\n".join([*lines[:place], row, *lines[place:], ""]).encode())
    return page
