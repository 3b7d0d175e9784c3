"""The items of a model as people know them: ids and titles to tokens, tokens back to them.

A model folder keeps it as vocabulary.csv, whose i-th row is the item with token i + 1.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError, note, question
from .interactions import as_frame, known_column
from .titles import TitleIndex
from .vocabulary import PAD, Vocabulary, kind_of_ids


class Catalogue:
    """Items by id, title and token.

    Args:
        vocabulary: the items and their tokens.
        table: a table with an item column (movieId, item_id, …) and a title column. Items that it
            lacks, or all without it, are called by their id.
        counts: (num_items + 2,) how often each token occurs in training, if that is known.

    Raises:
        InputError: the table has no item or no title column, or the counts do not fit.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        table: pd.DataFrame | None = None,
        counts: np.ndarray | None = None,
    ):
        if counts is not None and len(counts) != len(vocabulary) + 2:
            raise InputError(
                f"counts has {len(counts):,} entries; expected one for each of the "
                f"{len(vocabulary) + 2:,} tokens, as Sequences.item_counts() gives them."
            )
        self.vocabulary, self.counts = vocabulary, counts
        self.titles = item_titles(vocabulary, table)

    def tokens(self, entries: Iterable[object], what: str = "the history") -> np.ndarray:
        """Return the tokens of titles or ids, int32, in their order; unknown ones are left out.

        A title may be typed as people do (see titles.py): of several that fit, the one that was
        chosen most is taken, with a note.

        Args:
            entries: titles or ids.
            what: where they come from, for the one warning that names the unknown ones.

        Raises:
            InputError: an entry is neither a text nor a number.
        """
        found = self.find(entries, what)
        return found[found != PAD]

    def find(self, entries: Iterable[object], what: str = "the history") -> np.ndarray:
        """Return the same with a 0 in the place of each unknown item."""
        entries = list(entries)
        try:  # each different entry is looked up once
            places = {entry: place for place, entry in enumerate(dict.fromkeys(entries))}
        except TypeError:
            wrong = next(entry for entry in entries if not _hashable(entry))
            raise InputError(
                f"{what} holds {wrong!r}, which is neither a title nor an id. A history is a list "
                "of titles or ids; many histories are a list of such lists, or a dict."
            ) from None
        order = np.fromiter(map(places.__getitem__, entries), dtype=np.int64, count=len(entries))
        tokens = np.array([self._token(entry) for entry in places], dtype=np.int32)
        if (tokens == PAD).any():
            unknown = [entry for entry, token in zip(places, tokens, strict=True) if token == PAD]
            self._warn(unknown, what)
        return tokens[order] if len(order) else np.empty(0, dtype=np.int32)

    def token(self, entry: object) -> int:
        """Return the token of one title or id; raise InputError if it is not known."""
        try:
            token = self._token(entry)
        except TypeError:
            token = PAD
        if token == PAD:
            near = self.suggest(entry) if isinstance(entry, str) else []
            raise InputError(f"no item is called {entry!r}." + question(near))
        return token

    def suggest(self, text: object, count: int = 3) -> list[str]:
        """Return titles that contain a text, or else resemble it."""
        return self.index.near(text, count)

    def table(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """The columns item and title of some tokens."""
        return {"item": self.vocabulary.ids(tokens), "title": self._titles[tokens - 1]}

    def to_csv(self) -> bytes:
        """The content of vocabulary.csv; raise InputError if the ids are no texts or numbers."""
        items = self.vocabulary.items
        table = {"item": items, "type": kind_of_ids(items), "title": self.titles}
        if self.counts is not None:
            table["interactions"] = np.asarray(self.counts)[1:-1].astype(np.int64)
        text = io.StringIO()
        # without a line end of its own choice, a title that has a \r would come back without it
        pd.DataFrame(table).to_csv(text, index=False, lineterminator="\n")
        return text.getvalue().encode("utf-8", errors="surrogatepass")

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """Read what `to_csv` wrote; raise InputError if it is absent or damaged."""
        try:
            # what pandas would take for a missing value ("NA", "None") is a title here
            table = pd.read_csv(
                path,
                keep_default_na=False,
                lineterminator="\n",
                encoding_errors="surrogatepass",
                dtype=dict.fromkeys(("item", "title", "type"), str),
            )
            items = table["item"].to_numpy(object)
            if not (table["type"] == "str").any():  # of texts, 007 is no number
                items = pd.to_numeric(items)
                if items.dtype.kind not in "iuf" or np.isnan(items).any():
                    raise ValueError("an item is not a number")
            counts = None
            if "interactions" in table:
                counts = np.concatenate([[0], table["interactions"].to_numpy(np.int64), [0]])
            titles = table["title"]
        except (OSError, ValueError, KeyError, OverflowError) as error:
            raise InputError(f"{path} is missing or damaged: {error}") from error
        vocabulary = Vocabulary(items)
        named = pd.DataFrame({"item": vocabulary.items, "title": titles})
        return cls(vocabulary, named, counts)

    @cached_property
    def _titles(self) -> np.ndarray:
        return np.array(self.titles, dtype=object)

    @cached_property
    def index(self) -> TitleIndex:
        """The items that have a title of their own, by title; the others have an id."""
        ids = map(str, self.vocabulary.items)
        titles = [None if t == i else t for t, i in zip(self.titles, ids, strict=True)]
        return TitleIndex(titles, None if self.counts is None else self.counts[1:-1])

    def _token(self, entry: object) -> int:
        """The token of a title or an id, 0 if it is unknown."""
        if not isinstance(entry, str):
            return self._of_id(entry)
        if found := self.index.exact.get(entry, []):
            return self._first(entry, found)
        if token := self._of_id(entry):
            return token
        if found := self.index.whole(entry):
            return self._first(entry, found)
        if re.fullmatch(r"-?[0-9]{1,18}", entry) and (token := self._of_id(int(entry))):
            return token
        found, begins = self.index.part(entry)
        return self._first(entry, found, begins) if found else PAD

    def _first(self, text: str, places: list[int], clear: bool = True) -> int:
        """The token of the most chosen of several items, with a note where that is not clear."""
        names = [f"{self.titles[place]!r}" for place in places[:4]]
        if len(places) > 1:
            more = f" and {len(places) - 4:,} more" if len(places) > 4 else ""
            why = "the shortest title" if self.counts is None else "the one chosen most often"
            note(
                f"{text!r} fits {len(places):,} titles; took {names[0]}, {why}. Others: "
                f"{', '.join(names[1:])}{more}."
            )
        elif not clear:
            note(f"{text!r} is taken for {names[0]}.")
        return places[0] + 1

    def _of_id(self, entry: object) -> int:
        try:
            return int(self.vocabulary.items.get_loc(entry)) + 1
        except (KeyError, TypeError, ValueError, OverflowError, pd.errors.InvalidIndexError):
            return PAD

    def _warn(self, unknown: list[object], what: str) -> None:
        named = []
        for entry in unknown[:5]:
            near = self.suggest(entry, 1) if isinstance(entry, str) else []
            named.append(f"{entry!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        note(
            f"{len(unknown)} unknown item{'s are' if len(unknown) > 1 else ' is'} left out of "
            f"{what}: {', '.join(named)}{more}."
        )


def item_titles(vocabulary: Vocabulary, table: pd.DataFrame | None) -> list[str]:
    """Return the title of each item by token; its id as text where the table has none.

    Raises:
        InputError: the table has no item or no title column.
    """
    if table is None:
        return [str(item) for item in vocabulary.items]
    table = as_frame(table, "the table of titles")
    item, title = known_column(table, "item"), known_column(table, "title")
    if item is None or title is None:
        raise InputError(
            f"the table of titles needs an item and a title column; it has {list(table.columns)}. "
            "Rename them: items.rename(columns={'…': 'item', '…': 'title'})."
        )
    by_id = table.drop_duplicates(item).set_index(item)[title]
    titles = by_id.reindex(vocabulary.items)
    if titles.isna().all() and len(table):
        note(
            f"none of the {len(vocabulary):,} items has a title in the table: its {item!r} holds "
            f"{by_id.index.tolist()[0]!r}, the log {vocabulary.items.tolist()[0]!r}. Are they of "
            "the same kind?"
        )
    return [
        str(identity) if missing else str(name)
        for identity, name, missing in zip(vocabulary.items, titles, titles.isna(), strict=True)
    ]


def _hashable(entry: object) -> bool:
    try:
        hash(entry)
    except TypeError:
        return False
    return True
