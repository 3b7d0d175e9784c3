"""What the cell below an exercise says."""

import numpy as np
import pytest
import torch

from bert4rec import InputError
from bert4rec.notebook import exercises
from bert4rec.notebook.exercises import check, exercise


@pytest.fixture
def four(monkeypatch):
    """An exercise whose answer is 4, known as "02-1"."""
    found = {}

    @exercise(found, 1, "a whole number", int, because="Two and two.")
    def judge(answer, beside=0):
        if answer == 13:
            raise ValueError("unlucky")
        return answer == 4 + beside or "Count again."

    monkeypatch.setattr(exercises, "_find", lambda name: found[1])


@pytest.mark.parametrize("answer", [4, np.int64(4), np.array(4), torch.tensor(4)])
def test_right_answers_are_explained(four, answer):
    verdict = check("02-1", answer)
    assert (verdict.state, repr(verdict)) == ("right", "Right! Two and two.")


def test_no_answer_wrong_value_wrong_type_and_an_error_are_told_apart(four):
    assert check("02-1", ...).state == "open"
    assert check("02-1", 5).text == "Not yet. Count again."
    assert check("02-1", 5, 1).state == "right", "what the notebook hands over is used"
    for wrong in ("four", 4.0, True, None, [4], torch.tensor([4, 4])):
        verdict = check("02-1", wrong)
        assert verdict.state == "wrong"
        assert "a whole number is asked for" in verdict.text
        assert type(wrong).__name__ in verdict.text
    assert check("02-1", 13).text == "Not yet: checking it raised ValueError: unlucky"


def test_a_function_of_three_dots_is_not_written_yet(four):
    def judge(number):
        """What to write."""
        ...

    assert check("02-1", judge).state == "open"
    assert check("02-1", lambda number: number).state == "wrong"


def test_a_verdict_has_a_colour_and_is_safe_html(four):
    shown = check("02-1", 5)._repr_html_()
    assert exercises.COLOURS["wrong"] in shown
    assert "<b>" not in exercises.Verdict("open", "<b>")._repr_html_()


def test_every_exercise_is_there_and_an_unknown_one_is_named():
    for notebook in range(11):
        for number in (1, 2, 3):
            assert check(f"{notebook:02d}-{number}", ...).state == "open"
    with pytest.raises(InputError, match=r"no exercise \"2-1\".*02-1"):
        check("2-1", 4)
