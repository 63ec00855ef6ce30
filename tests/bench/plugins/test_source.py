from pathlib import Path

import pytest

from bench.plugins.source import bare_code, code_sha256

FILE = """
import math
from functools import *
from beside import WIDTH
from other import DEPTH

SCALE: float = 2.0
LIMIT = 3
LIMIT += 1

def layer():
    return Layer(WIDTH)

class Layer:
    def __init__(self, width):
        self.size = SCALE * width

def net():
    return layer()

def another():
    return math.sqrt(LIMIT)

layer.name = "another"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("WIDTH = 4\n")
    (tmp_path / "other.py").write_text("DEPTH = 4\n")
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.size = SCALE", "self.size = 1 + SCALE"),
        ("SCALE: float = 2.0", "SCALE: float = 3.0"),
        ("return Layer(WIDTH)", "return Layer(2 * WIDTH)"),
        ("return layer()", "return [layer()]"),
        ("LIMIT += 1", "LIMIT += 2"),
        ('"another"', '"other"'),
        ("from functools import *", "from itertools import *"),
    ],
)
def test_what_a_function_uses_and_what_always_runs_are_its_code(
    file: Path, old: str, new: str
) -> None:
    before = code_sha256(file, "net")
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    assert code_sha256(file, "net") != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import math\n", "import cmath as math\n"),
        ("def net():", "def net():\n    # As in the paper.\n    '''The network.'''"),
        ("class Layer:", "\n\nclass Layer:\n    '''A layer.'''\n"),
        ("from other import DEPTH", "from other import DEPTH as SIZE"),
    ],
)
def test_comments_layout_and_what_it_does_not_use_are_not(file: Path, old: str, new: str) -> None:
    before = code_sha256(file, "net")
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    assert code_sha256(file, "net") == before


def test_modules_beside_the_file_belong_to_it_if_it_imports_them(file: Path) -> None:
    assert bare_code(file).keys() == {"mine.py", "beside.py", "other.py"}
    assert bare_code(file, "net").keys() == {"mine.py", "beside.py"}
    before = code_sha256(file, "net")
    (file.parent / "beside.py").write_text("WIDTH = 8\n")
    assert code_sha256(file, "net") != before
