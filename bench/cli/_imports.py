"""How commands import what takes long to import."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Spare Python's collector of cycles what is imported here: it lives until the program ends.

    The collector would go through torch's million objects again and again while they are made, and
    once more at the end, which takes half a second. In a process that has torch already, nothing is
    left to spare.
    """
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
