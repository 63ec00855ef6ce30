"""Finds the examples that a record's model was evaluated on."""

from bench.data import Dataset, Split, load
from bench.errors import CrossfireError
from leaderboard.schema import Data


class Missing(CrossfireError):
    """Weights or data of a record are not on this machine, or its protocol is newer than the
    program."""


class Datasets:
    """Data sets by name. Each is loaded once, also if loading fails."""

    def __init__(self) -> None:
        self._found: dict[str, Dataset | str] = {}
        self._taken: dict[tuple[str, int], Split] = {}

    def load(self, name: str) -> Dataset:
        """As `bench.data.load`.

        Raises:
            CrossfireError: it can't be loaded.
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

    def take(self, name: str, examples: int) -> Split:
        """The first `examples` of a test set, or all if it has fewer; image files are decoded once.

        Raises:
            CrossfireError: the data set can't be loaded.
        """
        test = self.load(name).test
        key = name, min(examples, len(test))
        if key not in self._taken:
            self._taken[key] = test.take(key[1])
        return self._taken[key]

    def choose(self, data: Data, named: str | None) -> str:
        """The name of the data set whose test set begins with the examples of a record.

        `named` is the data set of the options. If it has other examples, the names in the record
        are tried; if one of these exists but has other examples too, it is returned, so that the
        rules report the difference.

        Raises:
            Missing: no data set is on this machine.
            CrossfireError: `named` can't be loaded.
        """
        if named is not None and self._begins(named, data):
            return named
        present = []
        for name in dict.fromkeys((data.name, data.called)):
            try:
                if self._begins(name, data):
                    return name
                present.append(name)
            except CrossfireError:
                continue
        if present:
            return present[-1]
        raise Missing(f"its data, {data.called}, are not here")

    def _begins(self, name: str, data: Data) -> bool:
        return self.take(name, data.examples).sha256() == data.sha256
