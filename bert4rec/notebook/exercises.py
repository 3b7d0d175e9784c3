"""The exercises of the notebooks: is an answer right?"""

from __future__ import annotations

from collections.abc import Callable


def check(answer: object, right: Callable[[object], object], hint: str) -> None:
    """Print whether an answer to an exercise is right.

    Args:
        answer: what the reader wrote; `...` stands for nothing yet.
        right: tells whether an answer is right. What it raises counts as wrong, and is shown.
        hint: what to look at again if it is wrong.
    """
    if answer is ...:
        print("Not answered yet: put your answer in place of the three dots, and run this again.")
        return
    try:
        correct, why = bool(right(answer)), ""
    except Exception as error:  # any answer may be given
        correct, why = False, f" ({type(error).__name__}: {error})"
    print("Right!" if correct else f"Not yet{why}. {hint}")
