"""What several test files share."""

import importlib.util
import shutil
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import torch

from bert4rec import BERT4Rec, ModelConfig

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
LAUNCH = {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-gpu"]}
SHOTS = ROOT / "runs" / "browser"  # screenshots


@cache
def docs_script(name: str) -> ModuleType:
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_log(num_users=30, num_items=40, seed=0, low=3, high=15) -> pd.DataFrame:
    """A random log with times; users' histories walk upwards through the catalogue."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        start = rng.integers(num_items)
        length = rng.integers(low, high + 1)
        for step in range(length):
            rows.append((f"u{user}", 100 + int(start + step) % num_items, 1000 + step))
    return pd.DataFrame(rows, columns=["user", "item", "timestamp"])


def tiny_model(num_items: int, seed: int = 0, **changes) -> BERT4Rec:
    """A small model whose weights are large enough for its scores to differ."""
    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "num_heads": 2, "max_len": 8, "dropout": 0.1} | changes
    model = BERT4Rec(ModelConfig(num_items=num_items, **shape))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1)
    return model.eval()


def watched(
    chromium, path: Path, failures: list, requests: list, width: int, height=900, **options
):
    """Open a page from the disk; what fails in it, and what it fetches, is added to the lists."""
    page = chromium.new_page(viewport={"width": width, "height": height}, **options)
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    return page
