"""The item vectors against their formula, computed densely."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import make_log

from bert4rec import InputError, Sequences
from bert4rec.training.warm_start import neighbour_vectors


def test_they_factorise_the_positive_pointwise_mutual_information():
    sequences = Sequences.from_interactions(make_log(num_users=60, num_items=12))
    size, reach = 12, 3
    counts = np.zeros((14, 14))
    for user in range(sequences.num_users):
        items = sequences[user]
        for i in range(len(items)):
            for j in range(len(items)):
                if 1 <= abs(i - j) <= reach:
                    counts[items[i], items[j]] += 1 / abs(i - j)
    total = counts.sum(1)
    with np.errstate(all="ignore"):
        pmi = np.log(counts * counts.sum() / np.outer(total, total))
    pmi = np.where(counts > 0, np.maximum(pmi, 0), 0)
    left, values, _ = np.linalg.svd(pmi)
    expected = left[:, :size] * np.sqrt(values[:size])
    expected /= (expected[1:-1] ** 2).mean() ** 0.5
    vectors = neighbour_vectors(sequences, size, reach).numpy()
    # singular vectors have a free sign, so what is compared is who resembles whom
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=5e-3)
    assert (vectors[1:-1] ** 2).mean() == pytest.approx(1, abs=1e-5)
    assert not vectors[[0, -1]].any()


def test_items_that_stand_together_are_alike():
    # two worlds that never meet
    rows = [(f"u{u}", item) for u in range(40) for item in ((1, 2, 3) if u % 2 else (7, 8, 9))]
    sequences = Sequences.from_interactions(pd.DataFrame(rows, columns=["user", "item"]))
    torch.manual_seed(0)
    unit = torch.nn.functional.normalize(neighbour_vectors(sequences, 4)[1:-1], dim=1)
    likeness = unit @ unit.T
    assert likeness[:3, :3].min() > 0.1
    assert likeness[:3, 3:].abs().max() < 1e-3


def test_what_cannot_be_is_said():
    sequences = Sequences.from_interactions(make_log(num_items=12))
    with pytest.raises(InputError, match="12 items cannot give vectors of size 16"):
        neighbour_vectors(sequences, 16)
    alone = pd.DataFrame({"user": ["a", "b"], "item": [1, 2]})
    with pytest.raises(InputError, match="no item has a neighbour"):
        neighbour_vectors(Sequences.from_interactions(alone), 1)
