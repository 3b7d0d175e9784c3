"""Damaged and hostile files: one clear error, no code of theirs run, nothing written elsewhere."""

import contextlib
import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from helpers import make_log, tiny_model
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from bert4rec import (
    BERT4Rec,
    InputError,
    Negatives,
    Recommender,
    Sequences,
    TrainingConfig,
    Vocabulary,
    load_movielens,
    read_interactions,
    train,
)
from bert4rec.training.checkpoint import CHECKPOINT

FILES = ("config.json", "model.safetensors", "vocabulary.csv")


class Evil:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    titles = pd.DataFrame({"item": range(9), "title": [f"Film {n} (1999)" for n in range(9)]})
    recommender = Recommender(
        tiny_model(9), Vocabulary(list(range(9))), titles, counts=torch.arange(11).numpy()
    )
    recommender.save(folder)
    return folder, recommender.recommend([1, 2])


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved[0], tmp_path / "copy")
    return tmp_path / "copy"


def loads_or_complains(folder, expected):
    """What a damaged folder may do: raise InputError, or not be damaged in anything that counts."""
    try:
        table = Recommender.load(folder).recommend([1, 2])
    except InputError as error:
        assert str(error)
        return False
    pd.testing.assert_series_equal(table["score"], expected["score"])
    return True


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES[:2]), place=st.floats(0, 1), byte=st.integers(0, 255))
def test_a_byte_that_changed(saved, copy, name, place, byte):
    folder, expected = saved
    content = bytearray((folder / name).read_bytes())
    content[int(place * (len(content) - 1))] = byte
    (copy / name).write_bytes(content)
    loads_or_complains(copy, expected)
    shutil.copy(folder / name, copy / name)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_short(saved, copy, name, share):
    folder, expected = saved
    content = (folder / name).read_bytes()
    (copy / name).write_bytes(content[: int(share * len(content))])
    whole = loads_or_complains(copy, expected)
    # of a table only the end of the last number can be missed
    assert not whole or int(share * len(content)) >= len(content) - 2
    shutil.copy(folder / name, copy / name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 100, b"\xff\xfe", b"[" * 100_000, b"null", b"{}"]
)
def test_a_file_of_something_else(copy, name, content):
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        Recommender.load(copy)


def test_a_pickle_is_not_opened(copy, tmp_path):
    for write in (torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))):
        for name in (*FILES, CHECKPOINT):
            write({"weights": Evil(tmp_path / "made")}, copy / name)
            with pytest.raises(InputError):
                Recommender.load(copy)
        with pytest.raises(InputError, match="does not hold saved negatives"):
            Negatives.load(copy / name)
    sequences = Sequences.from_interactions(make_log())
    with pytest.raises(InputError, match="damaged or no safetensors file"):
        train(
            tiny_model(sequences.num_items), sequences.leave_one_out(),
            TrainingConfig(epochs=1, device="cpu"), copy, resume=True, progress=False,
        )  # fmt: skip
    pickle.dump(pd.DataFrame({"user": [1]}), (tmp_path / "log.pkl").open("wb"))
    with pytest.raises(InputError, match=r"the format '\.pkl' is not known"):
        read_interactions(tmp_path / "log.pkl")
    assert not (tmp_path / "made").exists()


class NothingLarge(TorchDispatchMode):
    """Fails where a tensor is made that no file here could fill."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type != "meta":
            assert made.numel() < 10**6
        return made


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("num_items", 10**12),
        ("hidden_size", 10**9),
        ("num_layers", 10**9),
        ("max_len", 10**12),
        ("feed_forward_size", 10**12),
        ("num_segments", 10**12),
        ("num_heads", 4),
        ("num_items", "9"),
        ("num_items", None),
        ("num_layers", [2]),
        ("hidden_size", 16.5),
        ("dropout", "much"),
        ("norm_first", True),
        ("tie_weights", True),
    ],
)
def test_a_config_that_asks_for_the_impossible(copy, setting, value):
    if setting not in ("num_heads", "norm_first", "tie_weights"):
        # a folder of the first version, whose weights do not tell what they were made for
        tensors = safetensors.torch.load_file(copy / "model.safetensors")
        safetensors.torch.save_file(tensors, copy / "model.safetensors")
    config = json.loads((copy / "config.json").read_text())
    config["model"][setting] = value
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"does not fit its config\.json"), NothingLarge():
        BERT4Rec.load(copy)


def test_weights_that_are_not_numbers(copy):
    tensors = safetensors.torch.load_file(copy / "model.safetensors")
    tensors["out.bias"][3] = torch.nan
    safetensors.torch.save_file(tensors, copy / "model.safetensors")
    with pytest.raises(InputError, match=r"damaged: out\.bias holds values that are not numbers"):
        Recommender.load(copy)


def test_a_checkpoint_cannot_send_files_elsewhere(tmp_path):
    """Its history names the folder of its TensorBoard events; another one is not followed."""
    from bert4rec.files import read_tensors, write_tensors

    split = Sequences.from_interactions(make_log()).leave_one_out()
    config = TrainingConfig(epochs=2, batch_size=16, device="cpu")
    path = tmp_path / "model" / CHECKPOINT
    for _ in range(2):
        model = tiny_model(split.train.num_items)
        logs = tmp_path / "logs"
        train(model, split, config, path.parent, logs, resume=True, progress=False)
        tensors, texts = read_tensors(path)
        run = json.loads(texts["run"])
        run["history"]["epochs"] = run["history"]["epochs"][:1]
        run["history"]["log_dir"] = str(tmp_path / "elsewhere" / "run-1")
        write_tensors(path, tensors, {"run": json.dumps(run)})
    assert not (tmp_path / "elsewhere").exists()
    assert {folder.name for folder in logs.iterdir()} == {"run-1", "run-2"}


@pytest.mark.parametrize("run", [None, "{}", "[]", '{"history": {"x": 1}}', "[" * 10_000])
def test_a_checkpoint_of_something_else(tmp_path, run):
    from bert4rec.files import write_tensors

    split = Sequences.from_interactions(make_log()).leave_one_out()
    texts = {} if run is None else {"run": run}
    write_tensors(tmp_path / CHECKPOINT, {"a": torch.zeros(1)}, texts)
    config = TrainingConfig(epochs=1, device="cpu")
    with pytest.raises(InputError, match="is no checkpoint of a training run"):
        train(tiny_model(40), split, config, tmp_path, resume=True, progress=False)


def test_an_archive_is_read_in_place(tmp_path):
    """Members that would climb out of the folder have nowhere to climb from."""
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "ml-1m.zip", "w") as archive:
        archive.writestr("../../evil", "x")
        archive.writestr("../evil", "x")
        archive.writestr("ml-1m/../../evil.dat", "x")
    with pytest.raises(InputError):
        load_movielens("1m", folder=tmp_path / "data", download=False)
    assert {path.name for path in tmp_path.rglob("*")} == {"data", "ml-1m.zip"}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), place=st.floats(0, 1), byte=st.integers(0, 255))
@example(content=b"", place=0, byte=0)
@example(content=b"\x93NUMPY", place=0, byte=0)
def test_negatives_from_any_bytes(tmp_path, content, place, byte):
    path = tmp_path / "negatives.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="does not hold saved negatives"):
        Negatives.load(path)
    tokens = np.arange(12, dtype=np.int32).reshape(3, 4)
    Negatives(tokens, "mine").save(path)
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] = byte
    path.write_bytes(content)
    with contextlib.suppress(InputError):
        assert Negatives.load(path).tokens.shape == (3, 4)
