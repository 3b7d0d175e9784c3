"""What notebooks take from elsewhere: figures on record, and code of another notebook."""

import json

import pytest
from helpers import ROOT

from bert4rec import InputError
from bert4rec.notebook import recorded, recorded_means, reuse


def test_records_are_read_from_where_notebooks_run(monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    assert len(recorded("ml-1m")["runs"]) == 3
    means = recorded_means("ml-1m", "ml-1m-causal")
    assert means.columns.tolist() == ["HR@10", "NDCG@10"]
    assert means.loc["BERT4Rec", "NDCG@10"] == pytest.approx(0.1800, abs=1e-4)
    assert means.loc["item transitions", "NDCG@10"] == pytest.approx(0.1603, abs=1e-4)
    sampled = recorded_means("ml-1m-causal", protocol="popular-100")
    assert sampled.loc["SASRec", "HR@10"] > means.loc["SASRec", "HR@10"]


def test_what_is_not_on_record_is_said(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT / "notebooks")
    with pytest.raises(InputError, match=r"no results/blnd\.json.*Did you mean 'blend'"):
        recorded("blnd")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="start this notebook in the folder notebooks"):
        recorded("blend")


def test_what_was_written_in_another_notebook_is_run_as_it_is_now(tmp_path):
    path = tmp_path / "one.ipynb"
    cells = [("import math", ["mine"]), ("wrong(", []), ("half = math.pi / 2", ["mine", "other"])]
    notebook = {
        "cells": [
            {"cell_type": "code", "source": [text], "metadata": {"tags": tags} if tags else {}}
            for text, tags in cells
        ]
    }
    path.write_text(json.dumps(notebook))
    assert reuse(path, "mine")["half"] == pytest.approx(1.5708, abs=1e-4)
    with pytest.raises(InputError, match=r'no cell carries the tag "yours"'):
        reuse(path, "yours")
    with pytest.raises(InputError, match="no such notebook"):
        reuse(tmp_path / "two.ipynb", "mine")
