"""Titles in, titles out: a trained model with its vocabulary, saved and loaded as one folder.

A folder holds model.safetensors and config.json (`BERT4Rec.save`), vocabulary.csv, whose i-th row
is the item with token i + 1, and metrics.json, if the model was evaluated.
"""

from __future__ import annotations

import io
import re
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from .errors import InputError, closest
from .files import model_folder, write_atomically
from .interactions import known_column
from .model import BERT4Rec
from .vocabulary import Vocabulary


class Recommender:
    """Recommends the next items for any history, of a known user or not.

    Args:
        model: a trained model.
        vocabulary: the items it was trained on.
        movies: a table with an item column (movieId, item_id, …) and a title column. Items that
            it lacks, or all without it, are called by their id.
    """

    def __init__(self, model: BERT4Rec, vocabulary: Vocabulary, movies: pd.DataFrame | None = None):
        if model.config.num_items != vocabulary.num_items:
            raise InputError(
                f"the model knows {model.config.num_items:,} items, the vocabulary "
                f"{vocabulary.num_items:,}; they must come from the same data."
            )
        self.model, self.vocabulary = model.eval(), vocabulary
        self.titles = item_titles(vocabulary, movies)
        self._by_title: dict[str, list[int]] = defaultdict(list)
        for token, title in enumerate(self.titles, start=1):
            for key in _short_forms(plain_title(title)):
                self._by_title[key].append(token)

    def recommend(self, history: Sequence[object], k: int = 10) -> pd.DataFrame:
        """Recommend the k best next items, best first, none of which is in the history.

        The scores are the ones that `evaluate` ranks by: the model's logits at a [MASK] after the
        newest items of the history.

        Args:
            history: titles or item ids, oldest first. A title may leave out its year where that
                is clear, and "The Matrix" finds "Matrix, The". May be empty.
            k: how many; fewer are returned where the catalogue has fewer.

        Returns:
            A DataFrame with rank (from 1, the index), item, title and score.

        Raises:
            InputError: a title does not exist (the message suggests others) or fits several
                films, or k is not positive. An unknown id is left out, with a warning.
        """
        if isinstance(history, str):
            raise InputError(f"history must be a list, as [{history!r}], not one string.")
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}.")
        tokens = self.tokens(history)
        if not tokens:
            warnings.warn(
                "the history is empty: these are the model's guesses for a user it knows nothing "
                "about, mostly popular items.",
                stacklevel=2,
            )
        scores = self.model.score(torch.tensor([tokens or [0]]))[0]
        scores[tokens] = -torch.inf
        best = scores.topk(min(k, len(scores)))
        keep = best.values > -torch.inf
        found = best.indices[keep].cpu().numpy()
        return pd.DataFrame(
            {
                "item": self.vocabulary.ids(found),
                "title": [self.titles[token - 1] for token in found],
                "score": best.values[keep].cpu().numpy(),
            },
            index=pd.RangeIndex(1, len(found) + 1, name="rank"),
        )

    def tokens(self, history: Sequence[object]) -> list[int]:
        """Return the tokens of titles or ids; unknown ids are left out with one warning.

        Raises:
            InputError: a text is neither a title nor an id, or fits several items.
        """
        tokens, unknown = [], []
        for entry in history:
            token = self._token(entry)
            if token is None:
                unknown.append(entry)
            else:
                tokens.append(token)
        if unknown:
            warnings.warn(
                f"{len(unknown)} unknown items are left out of the history: "
                f"{', '.join(repr(entry) for entry in unknown[:5])}"
                f"{', …' if len(unknown) > 5 else ''}.",
                stacklevel=3,
            )
        return tokens

    def suggest(self, text: str, count: int = 3) -> list[str]:
        """Return titles that contain a text, or else resemble it."""
        plain = plain_title(text)
        containing = [title for title in self.titles if plain and plain in plain_title(title)]
        if containing:
            return containing[:count]
        near = closest(plain, self._by_title, 4 * count)  # a title has up to four keys
        titles = [self.titles[self._by_title[key][0] - 1] for key in near]
        return list(dict.fromkeys(titles))[:count]

    def save(self, folder: str | Path, **extra: object) -> None:
        """Write the model and its vocabulary into a folder, each file whole or not at all."""
        save_vocabulary(folder, self.vocabulary, self.titles)
        self.model.save(folder, **extra)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> Recommender:
        """Read a folder that `save` or `bert4rec train` wrote, on any device. Runs no code of it.

        Args:
            folder: where it was saved, or "ml-1m": trained on MovieLens-1M, and part of the
                package. Its items are MovieLens ids.
            device: where it shall compute.

        Raises:
            InputError: a file is missing or damaged, or the files do not belong together.
        """
        folder = model_folder(folder)
        model = BERT4Rec.load(folder, device)
        path = folder / "vocabulary.csv"
        try:
            # what pandas would take for a missing value ("NA", "None") is a title here
            table = pd.read_csv(path, keep_default_na=False, dtype={"title": str, "type": str})
            as_text = (table["type"] == "str").any()
            items = table["item"].astype(str) if as_text else table["item"]
            titles = table["title"]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} is missing or damaged: {error}") from error
        vocabulary = Vocabulary(items.to_numpy(object) if as_text else items.to_numpy())
        movies = pd.DataFrame({"item": vocabulary.items, "title": titles})
        return cls(model, vocabulary, movies)

    def _token(self, entry: object) -> int | None:
        if not isinstance(entry, str):
            return int(self.vocabulary.tokens([entry])[0]) if entry in self.vocabulary else None
        plain = plain_title(entry)
        found = self._by_title.get(plain, [])
        # a whole title wins over one that would fit without its year
        found = [t for t in found if plain_title(self.titles[t - 1]) == plain] or found
        if len(found) > 1:
            several = "; ".join(
                f"{self.titles[token - 1]!r} (id {self.vocabulary.ids([token])[0]})"
                for token in found[:5]
            )
            raise InputError(f"{entry!r} fits several items: {several}. Use the id or the year.")
        if found:
            return found[0]
        for item in (entry, int(entry) if entry.isdecimal() else entry):
            if item in self.vocabulary:
                return int(self.vocabulary.tokens([item])[0])
        suggestions = self.suggest(entry)
        raise InputError(
            f"no item is called {entry!r}."
            + (f" Did you mean {' or '.join(map(repr, suggestions))}?" if suggestions else "")
        )


def item_titles(vocabulary: Vocabulary, movies: pd.DataFrame | None) -> list[str]:
    """Return the title of each item by token; its id as text where the table has none.

    Raises:
        InputError: the table has no item or no title column.
    """
    if movies is None:
        return [str(item) for item in vocabulary.items]
    item, title = known_column(movies, "item"), known_column(movies, "title")
    if item is None or title is None:
        raise InputError(
            f"the table of titles needs an item and a title column; it has {list(movies.columns)}. "
            "Rename them: movies.rename(columns={'…': 'item', '…': 'title'})."
        )
    by_id = movies.drop_duplicates(item).set_index(item)[title]
    titles = by_id.reindex(vocabulary.items)
    return [
        str(identity) if missing else str(name)
        for identity, name, missing in zip(vocabulary.items, titles, titles.isna(), strict=True)
    ]


def save_vocabulary(folder: str | Path, vocabulary: Vocabulary, titles: list[str]) -> None:
    """Write vocabulary.csv; its i-th row is the item with token i + 1."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    kinds = ["str" if isinstance(item, str) else "int" for item in vocabulary.items]
    table = pd.DataFrame({"item": vocabulary.items, "type": kinds, "title": titles})
    text = io.StringIO()
    table.to_csv(text, index=False)
    write_atomically(Path(folder) / "vocabulary.csv", text.getvalue().encode("utf-8"))


def plain_title(title: str) -> str:
    """Reduce a title to what people agree on: "Matrix, The (1999)" to "the matrix (1999)"."""
    title = " ".join(str(title).casefold().split())
    moved = re.fullmatch(r"(.+), (the|a|an)( \(\d{4}\))?", title)
    return f"{moved[2]} {moved[1]}{moved[3] or ''}" if moved else title


def _short_forms(title: str) -> set[str]:
    """A plain title, and what is left without its year and its other names in parentheses."""
    without_year = re.sub(r" \(\d{4}\)$", "", title)
    year = title[len(without_year) :]
    one_name = re.sub(r" \(.*\)$", "", without_year)
    return {title, without_year, one_name + year, one_name}
