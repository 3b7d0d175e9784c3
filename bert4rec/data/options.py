"""Which log the command line reads, and how."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from ..errors import InputError
from .interactions import Reading
from .movielens import RELEASES, load_movielens
from .readers import read_interactions
from .sequences import Sequences
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class DataOptions(Reading):
    """Which log is read, and how."""

    data: str = "small"
    """A MovieLens release (small, 100k, 1m, 20m, 25m, 32m) or a file: .csv, .tsv, .parquet,
    .inter or .txt (`user item` lines), compressed or not."""
    separator: str | None = None
    """What stands between the fields of a line, if not what the format has: ";"."""
    encoding: str | None = None
    """The encoding of the file, if it is not UTF-8: cp1252, utf-16."""
    columns: tuple[str, ...] | None = None
    """Names for the columns of a file that has no header."""
    titles: Path | None = None
    """A file with an item and a title column (.csv, .tsv, .item, .parquet), for data that is not
    MovieLens."""

    def read(self) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Read the log and, where it brings them or they were named, the titles."""
        interactions, movies = self.read_log()
        return interactions, movies if self.titles is None else read_interactions(self.titles)

    def read_log(self) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Read the log, and the titles if they come with it."""
        if self.data in RELEASES:
            return load_movielens(self.data)
        if not Path(self.data).exists() and not set("./~") & set(self.data):
            raise InputError(
                f"--data {self.data!r} is neither a file nor a MovieLens release "
                f"({', '.join(RELEASES)})."
            )
        names = ("user", "item", "separator", "encoding", "columns")
        return read_interactions(self.data, **{name: getattr(self, name) for name in names}), None

    def record(self) -> dict:
        """What a folder shall say about its log: files by their whole path, to find them again."""
        said = asdict(self)
        said = {k: str(v) if isinstance(v, Path) else v for k, v in said.items()}
        for name in ("data", "titles"):
            if said[name] and said[name] not in RELEASES:
                said[name] = str(Path(said[name]).expanduser().resolve())
        return said

    def sequences(
        self, interactions: pd.DataFrame, vocabulary: Vocabulary | None = None
    ) -> Sequences:
        """Build the sequences of a log, of the items of a vocabulary if one is given."""
        return Sequences.from_interactions(interactions, vocabulary=vocabulary, **self.arguments())
