"""The exercises of the notebooks: is an answer right, and if not, what is off?"""

from __future__ import annotations

import dis
import html
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import torch

from ..errors import InputError, did_you_mean

COLOURS = {"open": "#808080", "right": "#009e73", "wrong": "#d55e00"}


@dataclass(frozen=True)
class Verdict:
    """What is said about an answer; a notebook shows it with a coloured edge.

    Attributes:
        state: "open" (not answered yet), "right" or "wrong".
        text: what is said, in one to three sentences.
    """

    state: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        style = f"border-left: 5px solid {COLOURS[self.state]}; padding: .4em .8em"
        return f'<div style="{style}">{html.escape(self.text)}</div>'


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook.

    Attributes:
        expected: the kind of answer in words, as "a number".
        kinds: the types that an answer may have; a number may be numpy's or a tensor of one.
        judge: given the answer and what the notebook hands over beside it, returns True, or a
            sentence that says what is off.
        explanation: why the right answer is right, said when it was found.
    """

    expected: str
    kinds: tuple[type, ...]
    judge: Callable[..., bool | str]
    explanation: str


def exercise(
    registered: dict[int, Exercise], number: int, expected: str, *kinds: Any, because: str
) -> Callable[[Callable[..., bool | str]], Callable[..., bool | str]]:
    """Enter the function below as the judge of an exercise, in the file of its notebook."""

    def enter(judge: Callable[..., bool | str]) -> Callable[..., bool | str]:
        registered[number] = Exercise(expected, kinds, judge, because)
        return judge

    return enter


def check(name: str, answer: object, *given: object) -> Verdict:
    """Say whether an answer to an exercise is right.

    Args:
        name: notebook and exercise, as "02-1".
        answer: what the reader wrote; `...`, alone or as a function's body, is nothing yet.
        given: what else the exercise needs of the notebook, in the order that its cell has.

    Returns:
        what is said. An answer of a wrong type is told from a wrong value, and an answer that
        raises an error counts as wrong, with the error.

    Raises:
        InputError: there is no such exercise.
    """
    found = _find(name)
    if answer is ... or _is_empty(answer):
        return Verdict(
            "open",
            "Not answered yet: put your answer in place of the three dots, and run this again.",
        )
    answer = _plain(answer)
    is_bool = isinstance(answer, bool) and bool not in found.kinds  # Python counts it as an int
    if is_bool or not isinstance(answer, found.kinds):
        return Verdict(
            "wrong",
            f"Not yet: {found.expected} is asked for, and this is of type {type(answer).__name__}.",
        )
    try:
        said = found.judge(answer, *given)
    except Exception as error:  # any answer may be given
        return Verdict("wrong", f"Not yet: checking it raised {type(error).__name__}: {error}")
    if said is True:
        return Verdict("right", f"Right! {found.explanation}")
    return Verdict("wrong", f"Not yet. {said}")


def _find(name: str) -> Exercise:
    notebook, _, number = name.partition("-")
    try:
        module = importlib.import_module(f".solutions.notebook_{notebook}", __package__)
        return module.EXERCISES[int(number)]
    except (ModuleNotFoundError, KeyError, ValueError):
        known = [f"{n:02d}-{i}" for n in range(11) for i in (1, 2, 3)]
        raise InputError(
            f'there is no exercise "{name}"; "02-1" is the first of notebook 2.'
            + did_you_mean(name, known)
        ) from None


def _is_empty(answer: object) -> bool:
    """Whether an answer is a function of which only the head is written, and three dots."""

    def empty(): ...

    def steps(code: CodeType) -> list[tuple]:
        return [(step.opname, step.argval) for step in dis.get_instructions(code)]

    code = getattr(answer, "__code__", None)
    return code is not None and steps(code) == steps(empty.__code__)


def _plain(answer: object) -> object:
    """One number of numpy, or a tensor of one number, as Python's."""
    if isinstance(answer, np.generic):
        return answer.item()
    if isinstance(answer, np.ndarray | torch.Tensor) and not answer.shape:
        return answer.item()
    return answer
