"""Item ids and their tokens: 0 is [PAD], 1 … num_items are items, num_items + 1 is [MASK]."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..errors import InputError, did_you_mean
from ..files import write_atomically

PAD = 0


IGNORE = -100  # the label of a position that is not predicted; cross_entropy's ignore_index


class Vocabulary:
    """Item ids and their tokens: the i-th id has token i + 1, since token 0 is [PAD].

    Args:
        items: the item ids, each once, in the order of their tokens.
    """

    def __init__(self, items: np.ndarray | list | pd.Index):
        self.items = pd.Index(items)
        if self.items.has_duplicates:
            raise InputError(f"item {self.items[self.items.duplicated()][0]!r} is listed twice.")

    @property
    def num_items(self) -> int:
        return len(self.items)

    @property
    def mask_token(self) -> int:
        return self.num_items + 1

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, item: object) -> bool:
        return item in self.items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.items.equals(other.items)

    def __repr__(self) -> str:
        return f"Vocabulary({self.num_items:,} items)"

    def is_numbering_of(self, other: Vocabulary) -> bool:
        """Whether these items are 1 … n and the other's n items are something else.

        The sequences that papers evaluate on number the items, in the order of their ids or not;
        a model of them has the number as its token.
        """
        numbers = pd.RangeIndex(1, len(other) + 1)
        return self != other and self.items.equals(numbers)

    def tokens(self, items: list | np.ndarray | pd.Series) -> np.ndarray:
        """Return the tokens of item ids, int32, in their order.

        Raises:
            InputError: an id is not in the vocabulary.
        """
        tokens = self.items.get_indexer(pd.Index(items)).astype(np.int32) + 1
        if (tokens == PAD).any():
            item = list(items)[int(np.argmax(tokens == PAD))]
            raise InputError(
                f"item {item!r} is not in the vocabulary of {self.num_items:,} items."
                + did_you_mean(item, self.items if isinstance(item, str) else ())
            )
        return tokens

    def ids(self, tokens: list | np.ndarray | torch.Tensor) -> np.ndarray:
        """Return the item ids of tokens.

        Raises:
            InputError: a token is not an item's, as [PAD] and [MASK] are not.
        """
        tokens = np.asarray(tokens)
        outside = (tokens < 1) | (tokens > self.num_items)
        if outside.any():
            raise InputError(
                f"token {tokens[outside].flat[0]} is not an item; items are 1 … {self.num_items}."
            )
        return self.items.to_numpy()[tokens - 1]


def kind_of_ids(ids: pd.Index) -> str:
    """Return what files call the type of ids, "str" or "number"; raise InputError for others."""
    if isinstance(ids[0], str):
        return "str"
    if pd.api.types.is_numeric_dtype(ids):
        return "number"
    raise InputError(
        f"ids like {ids[0]!r} cannot be saved; ids must be texts or numbers. Convert them before "
        "training: interactions[column].astype(str)."
    )


def write_ids(path: Path, ids: pd.Index) -> None:
    """Write ids, a line each under the name of their type; raise InputError for other types."""
    text = io.StringIO()
    pd.DataFrame({kind_of_ids(ids): ids}).to_csv(text, index=False, lineterminator="\n")
    write_atomically(path, text.getvalue().encode("utf-8"))


def read_ids(path: Path) -> pd.Index:
    """Read what `write_ids` wrote; raise InputError if it is absent or damaged."""
    try:
        table = pd.read_csv(
            path,
            keep_default_na=False,
            dtype={"str": str},
            lineterminator="\n",
            skip_blank_lines=False,  # an id may be a space
        )
        (name,) = table.columns
        ids = pd.Index(table[name])
        if name not in ("str", "number") or (name == "number") != (ids.dtype.kind in "iu"):
            raise ValueError(f"it holds {name!r}")
        return ids
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged: {error}") from error
