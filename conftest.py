"""Kernels that nbval starts inherit this: one thread and no GPU, so that numbers agree."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items):
    """Notebook 4 first: it takes longest, and 5 and 6 need not train where they find its model."""
    items.sort(key=lambda item: not item.path.name.startswith("04_"))
