"""Histories in, the best items out, in arrays; `Recommender` puts titles around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch

from ..data import PAD, Catalogue, Holdout, Sequences, Vocabulary
from ..errors import InputError, note
from ..evaluation import Blend, ItemTransitions, Negatives, Report, Scorer, evaluate
from ..evaluation.ranks import allowed, by_length, score_histories
from ..model import BERT4Rec

BATCH = 128  # histories at a time: what is computed for them stays in a processor's cache


def read_histories(catalogue: Catalogue, history: Iterable) -> tuple[Sequences, bool]:
    """Read one history or many, of titles or ids.

    Args:
        catalogue: what is known; unknown items are left out, with one warning.
        history: a list of titles or ids; or a list of such lists, a dict of them by user, or
            `Sequences`.

    Returns:
        The histories, and whether they were many.

    Raises:
        InputError: it is none of these, or the sequences are of another vocabulary.
    """
    if isinstance(history, Sequences):
        if history.vocabulary != catalogue.vocabulary:
            raise InputError(
                "the sequences are of another vocabulary than the model. Build them with "
                "Sequences.from_interactions(…, vocabulary=recommender.vocabulary)."
            )
        return history, True
    if isinstance(history, Mapping):
        users, rows = pd.Index(list(history), tupleize_cols=False), list(history.values())
    else:
        rows = entries_of(history)
        users = pd.RangeIndex(len(rows))
        if not any(_is_list(row) for row in rows):
            return flat_histories(catalogue.vocabulary, [catalogue.tokens(rows)]), False
    rows = [entries_of(row) for row in rows]
    flat = catalogue.find([entry for row in rows for entry in row], "the histories")
    row_of = np.repeat(np.arange(len(rows)), [len(row) for row in rows])[flat != PAD]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row_of, minlength=len(rows)))])
    offsets = offsets.astype(np.int64)
    return Sequences(flat[flat != PAD], offsets, users, catalogue.vocabulary), True


def flat_histories(vocabulary: Vocabulary, rows: list[np.ndarray]) -> Sequences:
    """Put histories, an array of tokens each, one after another."""
    offsets = np.cumsum([0, *map(len, rows)])
    return Sequences(
        np.concatenate(rows).astype(np.int32), offsets, np.arange(len(rows)), vocabulary
    )


def allowed_tokens(
    catalogue: Catalogue, exclude: Iterable[object] = (), only: Iterable[object] | None = None
) -> torch.Tensor:
    """(num_items + 2,) bool: the tokens that may be recommended."""
    allowed = torch.ones(len(catalogue.vocabulary) + 2, dtype=torch.bool)
    if only is not None:
        allowed[:] = False
        allowed[torch.from_numpy(catalogue.tokens(entries_of(only, "only"), "only")).long()] = True
    banned = catalogue.tokens(entries_of(exclude, "exclude"), "exclude")
    allowed[torch.from_numpy(banned).long()] = False
    return allowed


def note_empty(catalogue: Catalogue, histories: Sequences) -> None:
    """Say how empty histories are answered, if there are any."""
    empty, count = int((histories.lengths == 0).sum()), len(histories)
    if not empty:
        return
    which = "the history is" if count == 1 else f"{empty:,} of {count:,} histories are"
    what = "the items most popular in training"
    if catalogue.counts is None:
        what = "the model's guesses for nobody in particular (its folder holds no counts)"
    note(f"{which} empty and answered with {what}.")


def best_items(
    scorer: Scorer,
    catalogue: Catalogue,
    histories: Sequences,
    k: int,
    wanted: torch.Tensor,
    seen: str = "exclude",
) -> tuple[np.ndarray, np.ndarray]:
    """Find the best next items of each history.

    They are ranked by the scores that `evaluate` ranks by. An empty history gets the log of each
    item's share in training instead, if the catalogue knows it.

    Args:
        histories: tokens.
        k: how many.
        wanted: (num_items + 2,) bool, the tokens to choose from.
        seen: "exclude" or "include" the items of the history.

    Returns:
        Their tokens and their scores, (histories, k) or narrower where the catalogue is smaller;
        the score is -inf where there are fewer items.

    Raises:
        FloatingPointError: a score is not a number.
    """
    k = min(k, len(wanted))
    tokens = np.zeros((len(histories), k), dtype=np.int64)
    scores = np.full((len(histories), k), -np.inf, dtype=np.float32)
    for users in by_length(histories, BATCH):
        found = score_histories(scorer, histories, users)
        empty = histories.lengths[users] == 0
        if empty.any() and catalogue.counts is not None:
            share = torch.from_numpy((catalogue.counts + 0.5) / catalogue.counts.sum())
            found[torch.from_numpy(empty)] = share.log().to(found)
        found[~(allowed(found, histories, users, seen) & wanted.to(found.device))] = -torch.inf
        top = found.topk(k, dim=1)
        tokens[users], scores[users] = top.indices.cpu().numpy(), top.values.cpu().numpy()
    return tokens, scores


def ranked_table(
    catalogue: Catalogue, users: pd.Index | None, best: np.ndarray, scores: np.ndarray
) -> pd.DataFrame:
    """What `Recommender.recommend` gives, of the result of `best_items`.

    Args:
        users: whose the rows of the result are; None for one history.
    """
    found = scores > -np.inf
    columns = {**catalogue.table(best[found]), "score": scores[found]}
    rank = np.broadcast_to(np.arange(1, best.shape[1] + 1), best.shape)[found]
    if users is None:
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(rank) + 1, name="rank"))
    user = np.repeat(np.arange(len(users)), found.sum(axis=1))
    index = pd.MultiIndex(
        [pd.Index(users), pd.RangeIndex(1, best.shape[1] + 1)],
        [user, rank - 1],
        names=["user", "rank"],
    )
    return pd.DataFrame(columns, index=index)


def entries_of(history: Iterable, name: str = "history") -> list:
    """The entries of a list; InputError if it is a text, or a history without an order."""
    if isinstance(history, torch.Tensor):
        return history.tolist() if history.ndim else [history.item()]
    no_list = isinstance(history, str | bytes | pd.DataFrame)
    no_list |= name == "history" and isinstance(history, set | frozenset | Mapping)
    if no_list or not isinstance(history, Iterable):
        shown = f"[{history!r}]" if isinstance(history, str) else "['Toy Story (1995)', 1, …]"
        raise InputError(
            f"{name} must be a list, as {shown}, not {type(history).__name__} "
            f"{'of columns' if isinstance(history, pd.DataFrame) else repr(history)[:40]}."
        )
    return list(history)


def _is_list(entry: object) -> bool:
    return isinstance(entry, list | tuple | np.ndarray | pd.Series | pd.Index | torch.Tensor)


def compare(
    model: BERT4Rec,
    holdout: Holdout,
    protocol: str | Negatives = "full",
    beside: Mapping[str, Scorer] | None = None,
    blend: Blend | None = None,
) -> Report:
    """Rank the held-out items with a blend, its model, others, item transitions and popularity.

    Where what came before counts in the blend, its own counting part has a row as well.
    """
    models: dict[str, Scorer] = {} if blend is None else {blend.name: blend}
    models |= {model.name: model, **(beside or {})}
    models["item transitions"] = ItemTransitions(holdout.train)
    if blend is not None and blend.table.back > 0:
        models[blend.table.name] = blend.table
    return evaluate(models, holdout, protocol)


def explanation(
    model: BERT4Rec,
    catalogue: Catalogue,
    tokens: np.ndarray,
    item: int | None = None,
    blend: Blend | None = None,
) -> pd.DataFrame:
    """What `Recommender.explain` gives, for the tokens of a history and of an item."""
    tokens = tokens[-model.history_length :]
    if len(tokens) == 0:
        raise InputError("there is nothing to explain in an empty history.")
    without = [np.delete(tokens, place) for place in range(len(tokens))]
    histories = flat_histories(catalogue.vocabulary, [tokens, *without])
    if item is None:
        first, everything = histories.select(np.array([0])), allowed_tokens(catalogue)
        item = int(best_items(blend or model, catalogue, first, 1, everything)[0][0, 0])
    question = model.question(torch.from_numpy(tokens).long()[None])
    columns: dict[tuple[str, str], np.ndarray] = {}
    for layer, weights in enumerate(model.attention(question), start=1):
        for head, rows in enumerate(weights[0], start=1):
            columns[f"layer {layer}", f"head {head}"] = rows[-1].cpu().numpy()
    everyone, titles = np.arange(len(histories)), [catalogue.titles[token - 1] for token in tokens]
    scores = score_histories(model, histories, everyone)
    parts = {("gain", catalogue.titles[item - 1]): scores}
    if blend is not None:
        newest = histories.newest(everyone, blend.history_length).to(scores.device)
        shares = blend.parts(scores, newest)
        attention, counting = ((1 - blend.weight) * shares[0], blend.weight * shares[1])
        parts["gain", catalogue.titles[item - 1]] = attention + counting
        parts |= {("of which", "attention"): attention, ("of which", "counting"): counting}
    end = [] if model.config.causal else [np.nan]
    for name, part in parts.items():
        own = part[:, item].cpu().numpy()
        columns[name] = np.append(own[0] - own[1:], end)
    titles += [] if model.config.causal else ["[MASK]"]
    return pd.DataFrame(columns, index=pd.Index(titles, name="title"))


def nearest_items(model: BERT4Rec, item: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of the items whose embeddings are nearest to one's, and their cosine with it."""
    table = model.model.embedding.token_embeddings.weight.detach()
    table = torch.nn.functional.normalize(table, dim=1)
    similarity = table @ table[item]
    similarity[[PAD, item, model.config.mask_token]] = -torch.inf
    best = similarity.topk(min(k, model.config.num_items - 1))
    return best.indices.cpu().numpy(), best.values.cpu().numpy()
