"""Fast imports of large libraries."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_uncollected() -> Iterator[None]:
    """Context for imports, whose objects the garbage collector then ignores.

    The collector would traverse torch's million objects several times during the import, and once
    more at the end, which takes half a second. If torch is already imported, nothing is changed.
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
