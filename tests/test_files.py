"""Files are whole or not there, whatever happens while they are written."""

import os

import pytest
import torch

from bert4rec import InputError
from bert4rec.files import read_tensors, write_atomically, write_tensors


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"No space left on device\. What was there is untouched"):
        write_atomically(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_replaced_at_once_and_never_rewritten(tmp_path):
    path = tmp_path / "model"
    write_atomically(path, b"old")
    with path.open("rb") as reader:  # opened before, so it goes on reading the old content
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_tensors_round_trip_with_their_texts(tmp_path):
    tensors = {"a": torch.arange(6).reshape(2, 3).T, "b": torch.tensor(1.5)}
    write_tensors(tmp_path / "t", tensors, {"note": "é"})
    read, texts = read_tensors(tmp_path / "t")
    assert texts == {"note": "é"}
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    with pytest.raises(InputError, match="there is no"):
        read_tensors(tmp_path / "nothing")
