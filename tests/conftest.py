import pytest
import torch
from helpers import make_log

from bert4rec import Sequences, load_movielens


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny models run faster on one thread, and to the bit alike on every machine's count."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def ratings_and_movies():
    return load_movielens("small")


@pytest.fixture
def log():
    return make_log()


@pytest.fixture
def sequences(log):
    return Sequences.from_interactions(log)
