"""The exercises of notebook 1."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

import pandas as pd

from ...data import Sequences, Split, Vocabulary
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


def _counted(sequences: Sequences) -> dict[int, Counter]:
    follows: dict[int, Counter] = defaultdict(Counter)
    for user in range(len(sequences)):
        for film, next_film in itertools.pairwise(sequences[user].tolist()):
            follows[film][next_film] += 1
    return follows


@exercise(
    EXERCISES,
    1,
    "a list of three titles",
    list,
    tuple,
    because="These are the largest counts in the row of Jurassic Park.",
)
def after_jurassic_park(
    answer: list, split: Split, vocabulary: Vocabulary, title_of: pd.Series
) -> bool | str:
    if len(answer) != 3:
        return f"Three titles are asked for, and these are {len(answer)}."
    titles = [str(title) for title in answer]
    if unknown := [title for title in titles if title not in set(title_of)]:
        return f"{unknown[0]!r} is no title: `title(film)` gives the title of a token."
    (film,) = vocabulary.tokens(title_of.index[title_of == "Jurassic Park (1993)"])
    follows = _counted(split.train)
    after = {title_of[vocabulary.ids([t])[0]]: n for t, n in follows[int(film)].items()}
    before = {title_of[vocabulary.ids([t])[0]]: c[int(film)] for t, c in list(follows.items())}
    most = sorted(after.values(), reverse=True)[:3]
    if [after.get(title, 0) for title in titles] == most and len(set(titles)) == 3:
        return True
    if [before.get(title, 0) for title in titles] == sorted(before.values(), reverse=True)[:3]:
        return "Those came right before Jurassic Park. Look into its own row, follows[toy[3]]."
    if sorted(after.get(title, 0) for title in titles) == sorted(most):
        return "These are the three, but not the most frequent first."
    return "Look into the row of Jurassic Park, follows[toy[3]], and take its most_common(3)."


@exercise(
    EXERCISES,
    2,
    "a function",
    Callable,
    because="Old films still have a say, but a smaller one. The module's ItemTransitions does it "
    "in the same way.",
)
def fading_votes(
    answer: Callable, follows: Mapping[int, Mapping[int, int]], split: Split
) -> bool | str:
    def right(history: list[int], weights: list[float]) -> dict[int, float]:
        votes: dict[int, float] = defaultdict(float)
        for film, weight in zip(history, weights, strict=True):
            for next_film, count in follows[film].items():
                votes[next_film] += count * weight
        return votes

    def same(votes: Mapping[int, float], other: Mapping[int, float]) -> bool:
        return all(abs(votes.get(film, 0) - other.get(film, 0)) < 1e-6 for film in {*votes, *other})

    for user, decay in ((0, 0.7), (1, 0.5), (2, 1.0)):
        history = split.train[user][-12:].tolist()
        back = range(len(history))
        found = answer(history, decay)
        if found is None:
            return "The function gives nothing back: end it with `return votes`."
        if not isinstance(found, Mapping):
            return f"Votes by film are asked for, a Counter; this gives a {type(found).__name__}."
        if same(found, right(history, [decay**n for n in reversed(back)])):
            continue
        if same(found, right(history, [decay**n for n in back])):
            return "The oldest film has the loudest voice here: count the steps from the end."
        if same(found, right(history, [decay ** (n + 1) for n in reversed(back)])):
            return "Nearly: the newest film is 0 steps back, so its weight is 1."
        if same(found, right(history, [1.0] * len(history))):
            return "Every film has the same voice here; where does `decay` come in?"
        if same(found, right(history[-5:], [decay**n for n in range(4, -1, -1)])):
            return "Only five films vote here; all films of the history should."
        if same(found, right(history, [0.7**n for n in reversed(back)])):
            return "This is right for a decay of 0.7 alone; use the argument."
        return (
            f"For a history of {len(history)} films and decay={decay} the votes differ from "
            "count × decay ** steps_back, added up."
        )
    return True


@exercise(
    EXERCISES,
    3,
    "a number",
    int,
    float,
    because="The whole histories hold the test targets, so the answers had been counted. Nothing "
    "of the test may be in what a method learns from.",
)
def without_the_leak(answer: float, split: Split) -> bool | str:
    def hit_rate(follows: Mapping[int, Counter], looks: int) -> float:
        hits = 0
        for user, target in enumerate(split.test.targets.tolist()):
            history = split.test.histories[user].tolist()
            votes: Counter = Counter()
            for film in reversed(history[-looks:]):
                votes.update(follows[film])
            seen = set(history)
            hits += target in [f for f, _ in votes.most_common() if f not in seen][:10]
        return hits / len(split.test)

    honest = hit_rate(_counted(split.train), looks=1)
    if abs(answer - honest) < 0.002:
        return True
    if answer > 1:
        return "A share of the users is asked for, between 0 and 1."
    if answer > 3 * honest:
        return "That is still far too good. Which histories were counted, and how do they end?"
    if abs(answer - hit_rate(_counted(split.train), looks=5)) < 0.002:
        return "That is five films voting; the colleague lets only the newest film vote."
    if abs(answer - hit_rate(_counted(split.test.histories), looks=1)) < 0.002:
        return "Counted in the test histories: those hold the validation films. Train on train."
    return "Count anew, in the histories that are for training, then run `places` on the test."
