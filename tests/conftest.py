import os

import pytest
import torch
from helpers import CHROMIUM, LAUNCH, make_log
from hypothesis import settings

from bert4rec import Sequences, load_movielens

# No time limits: machines are noisy. CI draws the same examples every time, people draw new ones.
settings.register_profile("people", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "people")


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


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(**LAUNCH)
        yield browser
        browser.close()
