"""The template of a defense: a file that trains, its test, and its line in the documentation."""

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
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x_adv = adversarial(net, batch, job.threat, steps=self.steps)
            run.step(cross_entropy(net(x_adv), batch.y).mean())
'''

TEST = '''\
"""{title}: its loss and its examples, against its paper's formula."""

from pathlib import Path

from bench.models.checkpoint import load
from bench.plugins.registry import get_defense
from bench.threats import Threat
from bench.training import Job

{constant} = get_defense({source})


def test_a_short_training_leaves_a_checkpoint(tmp_path: Path) -> None:
    threats = (Threat.parse("linf:0.1"),)
    job = Job(tmp_path, threats, arch="cnn-w4", examples=64, epochs=1, device="cpu")
    {constant}().fit(job)
    _, metadata = load(tmp_path)
    assert metadata.defense == "{key}"
'''


def new_defense(name: str, folder: Path) -> list[Path]:
    """Write a defense called `name` and its test, and return the written files.

    In a checkout of Crossfire they are written to defenses/ and tests/defenses/, and a row is added
    to the table of defenses; elsewhere both are written to `folder`, for `bench train NAME.py`.

    Raises:
        CrossfireError: the name is taken or invalid, or a file of that name exists.
    """
    key, module = name.replace("_", "-"), name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", key):
        raise CrossfireError(
            f"'{name}' is not a valid name of a defense; write for example my-defense"
        )
    if key in defenses():
        raise CrossfireError(f"there is a defense '{key}' already; choose another name")
    class_name = "".join(part.capitalize() for part in key.split("-"))
    if re.search(rf"import .*\b{class_name}\b", DEFENSE):
        raise CrossfireError(f"the class {class_name} would hide an import; choose another name")
    fields = {
        **{"key": key, "what": WHAT, "title": key.upper() if len(key) < 5 else key.capitalize()},
        **{"class_name": class_name, "constant": module.upper()},
    }
    in_checkout = (folder / "defenses" / "__init__.py").is_file() and (folder / DOCUMENT).is_file()
    source = folder / "defenses" / f"{module}.py" if in_checkout else folder / f"{module}.py"
    test = (folder / "tests" / "defenses" if in_checkout else folder) / f"test_{module}.py"
    for path in (source, test):
        if path.exists():
            raise CrossfireError(f"{path} exists already; choose another name")
    source_code = f'"{key}"' if in_checkout else f'str(Path(__file__).with_name("{module}.py"))'
    write_atomic(source, DEFENSE.format(**fields).encode())
    write_atomic(test, TEST.format(**fields, source=source_code).encode())
    return [source, test, *([_document(folder / DOCUMENT, fields)] if in_checkout else [])]


def _document(page: Path, fields: dict[str, str]) -> Path:
    """Insert a row into the table, which is sorted by name."""
    lines = page.read_text().splitlines()
    row = f"| `{fields['key']}` | {fields['title']}: {fields['what']} |"
    rows = [number for number, line in enumerate(lines) if line.startswith("| `")]
    place = next((n for n in rows if lines[n] > row), rows[-1] + 1)
    write_atomic(page, "\n".join([*lines[:place], row, *lines[place:], ""]).encode())
    return page
