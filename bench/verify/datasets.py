"""Finds the examples that a record was measured on."""

from bench.data import Dataset, load
from bench.errors import CrossfireError
from leaderboard.schema import Data


class Missing(CrossfireError):
    """Weights or data of a record are not on this machine."""


class Datasets:
    """Data sets by name. Each is read once, and one that can't be had is asked for once."""

    def __init__(self) -> None:
        self._found: dict[str, Dataset | str] = {}

    def load(self, name: str) -> Dataset:
        """As `bench.data.load`.

        Raises:
            CrossfireError: it can't be had.
        """
        if name not in self._found:
            try:
                self._found[name] = load(name)
            except CrossfireError as error:
                self._found[name] = str(error)
        found = self._found[name]
        if isinstance(found, str):
            raise CrossfireError(found)
        return found

    def of(self, data: Data, named: str | None) -> Dataset:
        """The one whose test set begins with the examples of a record.

        `named` is what the reader called it. Where that is another data set, the record may still
        belong to one that needs no file; and what the record itself names counts even if it has
        other examples, so that the record can be told to be wrong.

        Raises:
            Missing: it is not here.
            CrossfireError: what the reader named can't be loaded.
        """
        if named is not None and _begins(self.load(named), data):
            return self.load(named)
        others = []
        for name in dict.fromkeys((data.name, data.called)):
            try:
                others.append(self.load(name))
            except CrossfireError:
                continue
            if _begins(others[-1], data):
                return others[-1]
        if others:
            return others[-1]
        raise Missing(f"its data, {data.called}, are not here")


def _begins(found: Dataset, data: Data) -> bool:
    test = found.test
    return data.examples <= len(test) and test.take(data.examples).sha256() == data.sha256
