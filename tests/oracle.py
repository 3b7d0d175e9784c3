"""What is right, in plain Python: dicts, lists and exact numbers; slow and obvious."""

import datetime
import math
import re
from fractions import Fraction

WHOLE = r"-?(0|[1-9][0-9]*)"


class RefusedError(Exception):
    """The log must be an InputError."""


def ids_of(texts: list[str]) -> dict:
    """What the ids in a file are: whole numbers if all are written so, else texts."""
    if not texts:
        return {}
    for ending in ("", *("." + "0" * digits for digits in range(1, 9))):
        if all(text.endswith(ending) for text in texts):
            whole = [text[: len(text) - len(ending)] for text in texts]
            if all(re.fullmatch(WHOLE, text) and text != "-0" for text in whole):
                numbers = [int(text) for text in whole]
                low, high = min(numbers), max(numbers)
                if ending and max(-low, high) >= 2**53:
                    continue
                if low >= -(2**63) and high < (2**64 if low >= 0 else 2**63):
                    return dict(zip(texts, numbers, strict=True))
    return {text: text for text in texts}


def moment(text: str) -> Fraction:
    """The number that a time in a file stands for: itself, or seconds since 1970."""
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", text.strip()):
        return Fraction(text.strip())
    parts = re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", text
    )
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    days = datetime.date(year, month, day).toordinal() - datetime.date(1970, 1, 1).toordinal()
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second + Fraction("0" + (parts[7] or ".0"))
    if parts[8] and parts[8] != "Z":
        sign, hours, minutes = parts[8][0], int(parts[8][1:3]), int(parts[8][4:6])
        seconds -= (1 if sign == "+" else -1) * (hours * 60 + minutes) * 60
    return seconds


def histories(rows: list[tuple], min_user: int = 1, min_item: int = 1) -> dict:
    """Each user's items in order of time, ties in the order of the log: users sorted.

    Args:
        rows: (user, item, time); a missing value is None; all times are None if there are none.
    """
    if not rows or any(user is None or item is None for user, item, _ in rows):
        raise RefusedError
    times = [time for _, _, time in rows]
    if any(time is None for time in times) and any(time is not None for time in times):
        raise RefusedError
    if len({user for user, _, _ in rows}) == 1:
        raise RefusedError
    while True:
        users = [user for user, _, _ in rows]
        items = [item for _, item, _ in rows]
        kept = [
            row
            for row in rows
            if users.count(row[0]) >= min_user and items.count(row[1]) >= min_item
        ]
        if len(kept) == len(rows):
            break
        rows = kept
    if not rows:
        raise RefusedError
    result: dict = {user: [] for user in sorted({user for user, _, _ in rows})}
    for user in result:
        mine = [(time, item) for who, item, time in rows if who == user]
        if times[0] is not None:
            mine.sort(key=lambda pair: pair[0])  # Python's sort keeps the order of ties
        result[user] = mine
    return result


def leave_one_out(log: dict) -> tuple[dict, dict, dict]:
    """Training histories; (history, target) by user for validation and for test."""
    train, validation, test = {}, {}, {}
    for user, pairs in log.items():
        items = [item for _, item in pairs]
        train[user] = items[:-2] if len(items) >= 3 else items
        if len(items) >= 3:
            validation[user] = (items[:-2], items[-2])
            test[user] = (items[:-1], items[-1])
    return train, validation, test


def split_by_time(log: dict, validation_share: float, test_share: float):
    """The same, cut at two moments."""
    times = sorted(time for pairs in log.values() for time, _ in pairs)
    first, second = (
        times[min(len(times) - 1, int(len(times) * share))]
        for share in (1 - test_share - validation_share, 1 - test_share)
    )
    train, validation, test = {}, {}, {}
    for user, pairs in log.items():
        early = [item for time, item in pairs if time < first]
        known = [item for time, item in pairs if time < second]
        everything = [item for _, item in pairs]
        if early:
            train[user] = early
            if len(known) > len(early):
                validation[user] = (early, known[len(early)])
        if known and len(everything) > len(known):
            test[user] = (known, everything[len(known)])
    return train, validation, test


def popularity(train: dict) -> dict:
    counts: dict = {}
    for items in train.values():
        for item in items:
            counts[item] = counts.get(item, 0) + 1
    return counts


def rank(scores: dict, target: object, seen: list) -> tuple[int, int]:
    """How many candidates score above the target, and how many the same, itself included."""
    candidates = [item for item in scores if item == target or item not in seen]
    above = sum(scores[item] > scores[target] for item in candidates)
    tied = sum(scores[item] == scores[target] for item in candidates)
    return above, tied


def ndcg(above: int, tied: int, k: int = 10) -> float:
    """The mean over all orders of the ties."""
    ranks = range(above + 1, above + tied + 1)
    return sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k) / tied
