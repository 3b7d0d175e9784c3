"""Ten thousand inputs nobody meant to give: only documented errors come out.

Documented are InputError (with a message), and the exit statuses 0 and 2 of the command line.
"""

import bz2
import contextlib
import datetime
import gzip
import lzma
import os
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import make_log, tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert4rec import (
    IGNORE,
    PAD,
    BERT4Rec,
    Catalogue,
    ClozeBatches,
    InputError,
    ModelConfig,
    Recommender,
    Sequences,
    TrainingConfig,
    Vocabulary,
    choose_masked,
    cli,
    hide,
    rank_targets,
    read_interactions,
    windows,
)

pytestmark = pytest.mark.filterwarnings("ignore")

# all of them under `make fuzz`, an eighth in every other run
SHARE = 1 if "BERT4REC_EXAMPLES" in os.environ else 8
EXAMPLES = {"files": 2500, "tables": 3000, "cloze": 2500, "recommender": 2500, "command": 500}


def many(name):
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=EXAMPLES[name] // SHARE, suppress_health_check=checks)


def documented(function, *args, **kwargs):
    """The result, or None where there was an InputError with a message."""
    try:
        return function(*args, **kwargs)
    except InputError as error:
        assert len(str(error)) > 10
        return None


def test_there_are_ten_thousand():
    assert sum(EXAMPLES.values()) >= 10_000


# ---------------------------------------------------------------- values

texts = st.one_of(
    st.sampled_from(
        ["", " ", "7", "07", "NA", "None", "nan", "Toy Story", "Ærø", "日本", "\ufeff"]
    ),
    st.text(max_size=6),
    st.text(st.characters(codec="utf-8"), max_size=3),
)
numbers = st.one_of(
    st.integers(-3, 12),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.integers(-9, 9).map(np.int16),
    st.floats(width=32).map(np.float32),
)
times = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.datetimes().map(pd.Timestamp),
    st.dates(),
    st.just(pd.NaT),
    st.just("2020-01-01"),
    st.just(datetime.timedelta(days=1)),
)
anything = st.one_of(
    texts, numbers, times, st.none(), st.just(pd.NA), st.binary(max_size=3),
    st.tuples(st.integers(0, 3)), st.lists(st.integers(0, 3), max_size=2),
    st.just(torch.tensor(3)), st.just(np.array([1, 2])), st.just({1: 2}), st.just(object()),
)  # fmt: skip


def columns(rows):
    """A column is of one kind, mostly; or of several."""
    one_of_a_kind = [
        st.lists(st.integers(0, 5), min_size=rows, max_size=rows),
        st.lists(st.sampled_from("abc"), min_size=rows, max_size=rows),
        st.lists(texts, min_size=rows, max_size=rows),
        st.lists(numbers, min_size=rows, max_size=rows),
        st.lists(times, min_size=rows, max_size=rows),
        st.lists(st.floats(0, 5).map(round).map(float), min_size=rows, max_size=rows),
    ]
    return st.one_of(*one_of_a_kind, st.lists(anything, min_size=rows, max_size=rows))


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 9))
    names = draw(
        st.one_of(
            st.just(["user", "item", "timestamp"]),
            st.just(["userId", "movieId"]),
            st.lists(texts, max_size=4),
            st.lists(st.sampled_from(["user", "item", "time", 3, None, "x"]), max_size=4),
        )
    )
    frame = pd.DataFrame(
        {place: pd.Series(draw(columns(rows)), dtype=object) for place in range(len(names))},
        index=draw(st.one_of(st.just(range(rows)), st.just([0] * rows))),
    )
    if draw(st.booleans()):
        frame = frame.infer_objects()
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["category", "string", "Int64", "float32", "uint8", "bool"]))
        with contextlib.suppress(Exception):
            frame[0] = frame[0].astype(kind)
    return frame.set_axis(names, axis="columns")


# ---------------------------------------------------------------- readers


@st.composite
def files(draw):
    """The content and the name of a file: a likely table, a spoilt one, or anything."""
    separator = draw(st.sampled_from([",", "\t", " ", ";", "  ", "::"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    header = draw(st.sampled_from(["user,item,timestamp", "user_id:token,item_id:token", "", "a"]))
    cell = st.one_of(st.integers(0, 9).map(str), texts, st.sampled_from(['"', '"a,b"', "\x00"]))
    rows = draw(st.lists(st.lists(cell, max_size=4), max_size=6))
    lines = [header.replace(",", separator), *(separator.join(row) for row in rows)]
    content = end.join(lines).encode("utf-8", "surrogatepass")
    content = draw(st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe"])) + content
    content = draw(st.one_of(st.just(content), st.binary(max_size=60)))
    suffix = draw(st.sampled_from([".csv", ".tsv", ".txt", ".inter", ".parquet", ".CSV", ".x", ""]))
    pack = {
        ".gz": gzip.compress,
        ".xz": lzma.compress,
        ".bz2": bz2.compress,
        ".zst": bytes,
        "": bytes,
    }
    outer = draw(st.sampled_from(list(pack)))
    content = draw(st.sampled_from([pack[outer], bytes]))(content)
    return content[: draw(st.integers(0, len(content)))] or content, f"log{suffix}{outer}"


@many("files")
@given(files())
def test_files(tmp_path, file):
    content, name = file
    path = tmp_path / name
    path.write_bytes(content)
    frame = documented(read_interactions, path)
    if frame is not None:
        documented(Sequences.from_interactions, frame)
    path.unlink()


# ---------------------------------------------------------------- tables to sequences


@many("tables")
@given(
    frame=tables(),
    counts=st.tuples(st.integers(-1, 3), st.integers(-1, 3)),
    named=st.one_of(st.just({}), st.fixed_dictionaries({"time": st.sampled_from([None, "x", 3])})),
    vocabulary=st.one_of(st.none(), st.just([0, 1, 2]), st.just(["a", "b"])),
    shares=st.tuples(st.floats(-0.1, 1.1), st.floats(0, 1)),
)
def test_tables(tmp_path, frame, counts, named, vocabulary, shares):
    if vocabulary is not None:
        vocabulary = Vocabulary(vocabulary)
    before = frame.copy()
    sequences = documented(
        Sequences.from_interactions, frame, min_user_count=counts[0], min_item_count=counts[1],
        vocabulary=vocabulary, **named,
    )  # fmt: skip
    pd.testing.assert_frame_equal(frame, before)
    if sequences is None:
        return
    assert sequences.num_interactions <= len(frame)
    assert sequences.lengths.min() >= max(1, counts[0])
    assert 1 <= sequences.tokens.min() <= sequences.tokens.max() <= sequences.num_items
    assert len(sequences.digest()) == 64
    split = documented(sequences.leave_one_out)
    if split is not None:
        assert split.train.num_interactions + 2 * len(split.test) == sequences.num_interactions
        documented(Recommender(_model(sequences.num_items), sequences.vocabulary).evaluate, split)
    documented(sequences.split_by_time, *shares)
    content = documented(Catalogue(sequences.vocabulary).to_csv)
    if content is not None:
        (tmp_path / "vocabulary.csv").write_bytes(content)
        read = Catalogue.read(tmp_path / "vocabulary.csv")
        assert read.vocabulary.items.tolist() == sequences.vocabulary.items.tolist()
        assert read.titles == [str(item) for item in sequences.vocabulary.items]


_models: dict[int, BERT4Rec] = {}


def _model(num_items: int) -> BERT4Rec:
    shape = {"hidden_size": 4, "num_heads": 1, "max_len": 4, "num_layers": 1}
    return _models.setdefault(num_items, tiny_model(num_items, **shape))


# ---------------------------------------------------------------- cloze

shares = st.one_of(st.sampled_from([0.0, 0.2, 1.0, -0.1, 1.1]), st.floats(), st.floats(0, 1))


@many("cloze")
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    max_len=st.integers(-1, 9),
    batch_size=st.integers(1, 4),
    mask_prob=shares,
    last=shares,
    overlap=shares,
    strategy=st.sampled_from(["mask", "80-10-10", "MASK", ""]),
    seed=st.integers(0, 9),
)
def test_cloze(lengths, max_len, batch_size, mask_prob, last, overlap, strategy, seed):
    tokens = np.random.default_rng(seed).integers(1, 8, sum(lengths)).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    users = np.arange(len(lengths))
    sequences = Sequences(tokens, offsets, users, Vocabulary(list("abcdefg")))
    batches = documented(
        ClozeBatches, sequences, max_len, batch_size, mask_prob, last, strategy, overlap, seed
    )
    if batches is None:
        documented(windows, sequences, max_len, max(1, max_len // 2))
        rows = torch.from_numpy(np.tile(tokens[:4], (2, 1))).long()
        masked = documented(choose_masked, rows, mask_prob, last)
        if masked is not None and rows.numel():
            documented(hide, rows, masked, 7, strategy)
        return
    seen = 0
    for inputs, labels in batches.epoch(1):
        seen += len(inputs)
        assert inputs.shape[1] <= max_len
        hidden = labels != IGNORE
        assert hidden.any(dim=1).all()
        assert (hidden & (inputs != PAD)).sum() == hidden.sum()
        assert ((inputs != PAD) & ~hidden).any(dim=1).all()
        assert inputs.max() <= 8
    assert seen == len(batches.lengths)


# ---------------------------------------------------------------- recommender

NAMES = ["Toy Story (1995)", "Matrix, The (1999)", "Hamlet", "Hamlet", "", "日本", "7"]


@pytest.fixture(scope="module")
def by_number():
    items = pd.DataFrame({"item": range(7), "title": NAMES})
    counts = np.arange(9)
    return Recommender(_model(7), Vocabulary(list(range(7))), items, counts)


@pytest.fixture(scope="module")
def by_text():
    return Recommender(_model(5), Vocabulary(["a", "b", "7", "", "日本"]))


entries = st.one_of(st.integers(0, 7), st.sampled_from(NAMES), anything)
histories = st.one_of(
    st.lists(entries, max_size=6),
    st.lists(st.lists(entries, max_size=4), max_size=4),
    st.dictionaries(st.one_of(texts, st.integers(), st.tuples(st.integers())), st.lists(entries)),
    st.lists(st.integers(-1, 9), max_size=5).map(np.array),
    st.lists(st.integers(-1, 9), max_size=5).map(torch.tensor),
    st.sets(st.integers(0, 9)),
    anything,
)


@many("recommender")
@given(
    history=histories,
    k=st.one_of(st.integers(-1, 12), anything),
    exclude=st.one_of(st.just(()), st.lists(entries, max_size=3), anything),
    only=st.one_of(st.none(), st.lists(entries, max_size=5), anything),
    number=st.booleans(),
)
def test_recommender(by_number, by_text, history, k, exclude, only, number):
    recommender = by_number if number else by_text
    table = documented(recommender.recommend, history, k, exclude, only)
    if table is not None:
        assert list(table.columns) == ["item", "title", "score"]
        assert np.isfinite(table["score"]).all()
        assert set(table["item"]) <= set(recommender.vocabulary.items)
        assert table.index.get_level_values("rank").max() <= k if len(table) else True
    documented(recommender.explain, history)
    documented(recommender.similar, k)
    documented(recommender.suggest, k)


# ---------------------------------------------------------------- settings and command line


@settings(max_examples=500)
@given(
    st.dictionaries(
        st.sampled_from(["num_items", "hidden_size", "num_heads", "max_len", "dropout", "x"]),
        st.one_of(st.integers(-2, 20), st.floats()),
    ),
    st.dictionaries(
        st.sampled_from(["epochs", "learning_rate", "schedule", "mask_prob", "overlap", "seed"]),
        st.one_of(st.integers(-2, 20), st.floats(), st.just("cosine")),
    ),
)
def test_settings(shape, training):
    for config, values in ((ModelConfig, {"num_items": 3} | shape), (TrainingConfig, training)):
        with contextlib.suppress(TypeError):  # what Python says of a wrong name or type
            documented(config, **values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    make_log(num_users=6, num_items=8).to_csv(folder / "log.csv", index=False)
    tiny = ["--hidden-size", "4", "--num-heads", "1", "--max-len", "4", "--epochs", "1"]
    args = ["train", "--data", folder / "log.csv", *tiny, "--output", folder / "model"]
    args += ["--min-item-count", "1", "--log-dir", folder / "logs", "--device", "cpu"]
    assert cli.main(list(map(str, args))) == 0
    return folder


words = st.one_of(
    st.sampled_from(["recommend", "evaluate", "train", "download", "--model", "--k", "--json"]),
    st.sampled_from(["--data", "--protocol", "popular-3", "uniform-99", "full", "--split", "test"]),
    st.sampled_from(
        ["3", "-1", "0", "101", "nan", "", "--epochs", "--preset", "tutorial", "--help"]
    ),
    texts.filter(lambda text: "\x00" not in text),
)


@many("command")
@given(
    start=st.sampled_from([[], ["recommend"], ["evaluate"], ["recommend", "--model"], ["train"]]),
    rest=st.lists(words, max_size=5),
    at_model=st.booleans(),
)
def test_command_line(folder, monkeypatch, capsys, start, rest, at_model):
    monkeypatch.chdir(folder)
    args = [*start, *rest, *(["--model", "model"] if at_model else [])]
    if "train" in args or "download" in args:  # neither half an hour nor the network
        args += ["--data", "missing.csv", "--folder", "model"]
    try:
        status = cli.main(args)
    except SystemExit as stop:  # the parser's way
        status = stop.code
    out, err = capsys.readouterr()
    assert status in (0, 2), args
    assert "Traceback" not in out + err
    if status == 2:
        assert err.strip() or out.strip()


def test_ranks_of_scores_that_are_no_numbers(sequences):
    model = tiny_model(sequences.num_items)
    with torch.no_grad():
        model.out.bias[3] = torch.nan
    with pytest.raises(FloatingPointError, match="scores that are not numbers"):
        rank_targets(model, sequences.leave_one_out().test)
    with pytest.raises(FloatingPointError, match="scores that are not numbers"):
        Recommender(model, sequences.vocabulary).recommend([101])
    warnings.resetwarnings()
