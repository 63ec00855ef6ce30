"""The ranges of numeric options: from 0 upwards, unless a field's metadata say otherwise."""

import math
from dataclasses import fields
from typing import Any

from bench.errors import CrossfireError


def check_ranges(options: Any) -> None:  # noqa: ANN401
    """Check the numbers of a dataclass: each lies from `least` (default 0) to `most` (default
    infinity, which is excluded) in the metadata of its field.

    Raises:
        CrossfireError: one does not; the message names its option.
    """
    for item in fields(options):
        value = getattr(options, item.name)
        least, most = item.metadata.get("least", 0), item.metadata.get("most", math.inf)
        for number in value if isinstance(value, tuple) else (value,):
            known = isinstance(number, int | float) and not isinstance(number, bool)
            if known and not (least <= number <= most and math.isfinite(number)):
                bounds = f"{least} or more" if most == math.inf else f"from {least} to {most}"
                raise CrossfireError(f"{item.name.replace('_', '-')} must be {bounds}")
