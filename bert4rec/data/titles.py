"""Titles as people type them: "star wars", "the matrix", "ET", "schindlers list", "Terminator 2".

A title is looked up in steps, and the first that finds something counts: the title itself; the
same without regard to case, accents, punctuation, articles, year and other names; one that begins
with what was typed; one that contains it.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from ..errors import closest

ARTICLES = {"the", "a", "an"}


NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}


MANY = 20_000  # names that a misspelt one is compared with, the most chosen first


YEAR = re.compile(r"\s*\((\d{4})\)\s*$")


def normalised(text: object, articles: bool = False) -> str:
    """What people agree on: "Matrix, The (1999)" and "the  matrix 1999" are "matrix 1999".

    With `articles` they stay, in front: "the matrix 1999".
    """
    if articles:
        text = re.sub(r"^(.+), (the|an?)\b", r"\2 \1", str(text), flags=re.IGNORECASE)
    plain = str(text).casefold()
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"[.'’‘`´]", "", plain).replace("&", " and ")
    words = re.sub(r"[\W_]+", " ", plain).split()
    words = [word for word in words if articles or word not in ARTICLES] or words
    return " ".join(NUMERALS.get(word, word) for word in words)


def names_of(title: str) -> list[str]:
    """A title's names, normalised, without the year: the whole, and what is in parentheses."""
    title = YEAR.sub("", title)
    names = [title]
    if "(" in title:
        names.append(re.sub(r"\s*\(.*\)$", "", title))
        inside = re.findall(r"\(([^()]+)\)", title)
        names += [re.sub(r"^a\.?k\.?a\.? ", "", name) for name in inside]
    return list(dict.fromkeys(key for name in names if (key := normalised(name))))


class TitleIndex:
    """Finds items by title.

    Args:
        titles: of the items; None for those that have none.
        counts: (num_items,) how often each was chosen, if that is known: of several the one that
            was chosen most is taken.
    """

    def __init__(self, titles: Sequence[str | None], counts: np.ndarray | None = None):
        self.titles = titles
        # most chosen first, then shortest
        weight = np.zeros(len(titles)) if counts is None else -np.asarray(counts, dtype=float)
        length = np.array([len(title or "") for title in titles])
        self.order = np.lexsort((length, weight))

    @cached_property
    def exact(self) -> dict[str, list[int]]:
        """Places by title, in order of preference."""
        places = defaultdict(list)
        for place in self.order.tolist():
            if (title := self.titles[place]) is not None:
                places[title].append(place)
        return dict(places)

    @cached_property
    def names(self) -> dict[str, list[int]]:
        """Places by each name, in order of preference; made when a text is first looked up."""
        return self._by(lambda title, names: names)

    @cached_property
    def dated(self) -> dict[str, list[int]]:
        """The same, of names with their year behind them."""

        def with_year(title: str, names: list[str]) -> list[str]:
            year = (YEAR.search(title) or [None, ""])[1]
            empty = all(ARTICLES.issuperset(name.split()) for name in names)
            bare = [normalised(title)] if empty else []
            return [f"{name} {year}" for name in names if year] + bare

        return self._by(with_year)

    @cached_property
    def _names(self) -> list[list[str]]:
        return [[] if title is None else names_of(title) for title in self.titles]

    def _by(self, keys: Callable[[str, list[str]], list[str]]) -> dict[str, list[int]]:
        places = defaultdict(list)
        for place in self.order.tolist():
            title = self.titles[place]
            for key in () if title is None else keys(title, self._names[place]):
                places[key].append(place)
        return dict(places)

    def whole(self, text: str) -> list[int]:
        """The places of the items that are called so, in order of preference.

        Where several are, the ones with the same articles and year are meant.
        """
        found = self.names.get(normalised(text)) or self.dated.get(normalised(text), [])
        for typed in (text, YEAR.sub("", text)):
            key = normalised(typed, articles=True)
            narrow = [
                place
                for place in found
                if key
                in (
                    normalised(title := str(self.titles[place]), articles=True),
                    normalised(YEAR.sub("", title), articles=True),
                )
            ]
            found = narrow if narrow and len(found) > 1 else found
        return found

    def part(self, text: str) -> tuple[list[int], bool]:
        """The places of the items whose title begins with a text, or else contains it.

        Returns:
            The places in order of preference, and whether it is the beginning. Two letters must be
            the first word, and one is no part of anything: it would fit half of the titles.
        """
        key = normalised(text)
        joined = key.replace(" ", "")
        steps = [
            (2, lambda name: name.startswith(key + " ")),
            (4, lambda name: name.replace(" ", "").startswith(joined)),
            (3, lambda name: f" {key} " in f" {name} "),
            (4, lambda name: joined in name.replace(" ", "")),
        ]
        for step, (least, fits) in enumerate(steps):
            if len(joined) >= least:
                found = {p for name, places in self.names.items() if fits(name) for p in places}
                if found:
                    return [p for p in self.order.tolist() if p in found], step < 2
        return [], False

    def near(self, text: object, count: int = 3) -> list[str]:
        """Titles that contain a text, or else resemble it."""
        key = normalised(text)
        found = self.whole(key) or (self.part(key)[0] if key else [])
        if not found:
            names = {**self.names, **self.dated}
            names = dict(itertools.islice(names.items(), MANY))  # all of many would take seconds
            found = [names[name][0] for name in closest(key, names, 4 * count)]
        return [str(self.titles[place]) for place in dict.fromkeys(found)][:count]
