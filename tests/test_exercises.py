import torch

from bert4rec.notebook.exercises import check


def test_an_answer_is_missing_right_or_wrong(capsys):
    for answer in (..., 4, 5, "four", torch.tensor(4)):
        check(answer, lambda number: number + 0 == 4, "Count again.")
    missing, right, wrong, strange, tensor = capsys.readouterr().out.splitlines()
    assert missing.startswith("Not answered yet")
    assert right == tensor == "Right!"
    assert wrong == "Not yet. Count again."
    assert strange.startswith("Not yet (TypeError: ")
    assert strange.endswith("Count again.")
