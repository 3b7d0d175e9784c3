"""One training run of one implementation, timed: the worker behind training_speed.py.

    python trainers.py NAME '{"data": "ml-1m.txt.xz", "hidden": 64, "length": 100, "steps": 30}'

prints a line of JSON. Each implementation runs in a process of its own (and the peers in an
environment of their own), so that peak memory is its own too.

Every run has 2 layers, a feed-forward of 4 × hidden, heads of 32 or 64 features, 128 sequences in
a step, float32 on a CPU, and the same training items. The rest is each implementation's own
recommended setting: what it masks, how it drops, optimises and computes the loss.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import random
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


@dataclass
class Setting:
    """What all implementations share."""

    data: str
    hidden: int
    length: int
    steps: int
    batch: int = 128
    warmup: int = 5
    """Steps before the clock starts."""
    device: str = "cpu"
    compile: bool = False
    """Ours only: torch.compile."""
    precision: str = "auto"
    """Ours only."""

    @property
    def heads(self) -> int:
        return 2 if self.hidden <= 64 else 4


class Meter:
    """Counts sequences, real tokens and time, from the end of the warm-up on."""

    def __init__(self, setting: Setting):
        self.setting, self.step = setting, 0
        self.sequences = self.tokens = 0

    def done(self, sequences: int, tokens: int | torch.Tensor) -> bool:
        """Say that a step has ended; True when it was the last one.

        Tokens that were counted on a GPU stay a tensor, so that no step waits for them.
        """
        self.step += 1
        if self.step > self.setting.warmup:
            self.sequences += sequences
            self.tokens += tokens
        if self.step == self.setting.warmup:
            self._wait()
            self.started = time.perf_counter()
        if self.step == self.setting.warmup + self.setting.steps:
            self._wait()
            self.seconds = time.perf_counter() - self.started
            self.memory = self._memory()
            return True
        return False

    def _wait(self) -> None:
        if self.setting.device == "cuda":
            torch.cuda.synchronize()

    def _memory(self) -> int:
        """The most bytes so far: of the GPU, or of this process."""
        if self.setting.device == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def histories(path: str) -> list[np.ndarray]:
    """Each user's training items, numbered from 1: all but the last two (test, validation)."""
    log = pd.read_csv(path, sep=" ", header=None, names=["user", "item"])
    log["item"] = np.unique(log["item"], return_inverse=True)[1] + 1
    return [items.to_numpy()[:-2] for _, items in log.groupby("user", sort=False)["item"]]


def run_ours(setting: Setting, meter: Meter) -> dict:
    """This project: the steps that `train` takes, with the preset for MovieLens-1M."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from dataclasses import replace

    from flops import needed_by_step, peak, seconds_of_products
    from processes import stepper

    from bert4rec import BERT4Rec, ClozeBatches, Sequences, get_preset
    from bert4rec.devices import keep_freed_memory, pick_device

    split = Sequences.from_file(setting.data).leave_one_out()
    device = pick_device(setting.device)
    if device.type == "cpu":
        keep_freed_memory()
    preset = get_preset("ml-1m")
    torch.manual_seed(0)
    config = preset.model_config(
        split.train.num_items,
        hidden_size=setting.hidden, num_heads=setting.heads, num_layers=2, max_len=setting.length,
    )  # fmt: skip
    model = BERT4Rec(config).to(device).train()
    training = replace(preset.training, batch_size=setting.batch, compile=setting.compile)
    batches = ClozeBatches(
        split.train, setting.length, setting.batch, training.mask_prob, training.last_item_prob,
        training.mask_strategy, training.overlap, training.seed,
    )  # fmt: skip
    step = stepper(model, split.train, training)
    flops = answers = 0
    for epoch in itertools.count(1):
        for inputs, labels in batches.epoch(epoch):
            step(inputs, labels, setting.precision)
            if meter.step >= setting.warmup:
                flops += needed_by_step(config, inputs, labels)
                answers += int((labels != -100).sum())
            if not meter.done(len(inputs), int((inputs != 0).sum())):
                continue
            result = {"flops": flops, "versions": versions("torch", "numpy")}
            result["peak_flops"] = peak(device.type)
            if device.type == "cpu":
                steps = setting.steps
                mean = [number // steps for number in (meter.tokens, answers, meter.sequences)]
                result["products_seconds"] = steps * seconds_of_products(config, *mean)
            return result


class Newest(Dataset):
    """The newest items of each user, padded in front: what the studies feed to Hugging Face."""

    def __init__(self, setting: Setting):
        rows = histories(setting.data)
        self.num_items = max(int(row.max()) for row in rows)
        self.rows = np.zeros((len(rows), setting.length), dtype=np.int64)
        for place, row in enumerate(rows):
            row = row[-setting.length :]
            self.rows[place, setting.length - len(row) :] = row

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> torch.Tensor:
        return torch.from_numpy(self.rows[place])


def run_hugging_face(setting: Setting, meter: Meter) -> dict:
    """`BertForMaskedLM` in a plain loop, as the replicability studies use it (mask .2, Adam)."""
    from transformers import BertConfig, BertForMaskedLM

    data = Newest(setting)
    mask = data.num_items + 1
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=data.num_items + 2, hidden_size=setting.hidden, num_hidden_layers=2,
            num_attention_heads=setting.heads, intermediate_size=4 * setting.hidden,
            max_position_embeddings=setting.length,
        )
    ).to(setting.device).train()  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        for tokens in DataLoader(data, setting.batch, shuffle=True, drop_last=True):
            tokens = tokens.to(setting.device)
            real = tokens != 0
            masked = real & (torch.rand(tokens.shape, device=tokens.device) < 0.2)
            output = model(
                input_ids=torch.where(masked, mask, tokens),
                attention_mask=real.long(),
                labels=torch.where(masked, tokens, -100),
            )
            optimizer.zero_grad()
            output.loss.backward()
            optimizer.step()
            if meter.done(len(tokens), real.sum()):
                return {"versions": versions("torch", "transformers")}


def run_rectools(setting: Setting, meter: Meter) -> dict:
    """RecTools' BERT4RecModel at its defaults, trained by its own Lightning trainer."""
    import logging

    from pytorch_lightning import Callback, Trainer
    from rectools.dataset import Dataset as Log
    from rectools.models import BERT4RecModel

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Count(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, number):
            if meter.done(len(batch["x"]), (batch["x"] != 0).sum()):
                trainer.should_stop = True

    def trainer() -> Trainer:
        return Trainer(
            max_steps=setting.warmup + setting.steps, min_steps=1, accelerator=
            "gpu" if setting.device == "cuda" else "cpu", devices=1, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            callbacks=[Count()],
        )  # fmt: skip

    rows = histories(setting.data)
    log = pd.DataFrame(
        {
            "user_id": np.repeat(np.arange(len(rows)), [len(row) for row in rows]),
            "item_id": np.concatenate(rows),
            "weight": 1.0,
        }
    )
    log["datetime"] = pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(log)), unit="s")
    model = BERT4RecModel(
        n_blocks=2, n_heads=setting.heads, n_factors=setting.hidden, batch_size=setting.batch,
        session_max_len=setting.length, get_trainer_func=trainer,
    )  # fmt: skip
    model.fit(Log.construct(log))
    return {"versions": versions("torch", "rectools", "pytorch-lightning")}


def run_recbole(setting: Setting, meter: Meter) -> dict:
    """RecBole's BERT4Rec at its defaults; the loop is its Trainer's."""
    import tempfile

    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model

    rows = histories(setting.data)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "ml" / "ml.inter"
        target.parent.mkdir()
        with target.open("w") as file:
            file.write("user_id:token\titem_id:token\ttimestamp:float\n")
            for user, row in enumerate(rows):
                # it holds out two items itself: repeat two that it may
                for place, item in enumerate([*row, row[0], row[1]]):
                    file.write(f"{user}\t{item}\t{place}\n")
        os.chdir(folder)  # it writes log folders where it stands
        config = Config(
            model="BERT4Rec",
            dataset="ml",
            config_dict={
                "data_path": folder, "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
                "USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id",
                "TIME_FIELD": "timestamp", "MAX_ITEM_LIST_LENGTH": setting.length,
                "hidden_size": setting.hidden, "inner_size": 4 * setting.hidden,
                "n_heads": setting.heads, "n_layers": 2, "train_batch_size": setting.batch,
                "train_neg_sample_args": None, "user_inter_num_interval": "[0,inf)",
                "item_inter_num_interval": "[0,inf)", "show_progress": False,
                "use_gpu": setting.device == "cuda", "eval_args": {
                    "split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full",
                },
            },
        )  # fmt: skip
        data = create_dataset(config)
        train, _, _ = data_preparation(config, data)
        model = get_model("BERT4Rec")(config, train.dataset).to(config["device"]).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
        while True:
            for interaction in train:
                interaction = interaction.to(config["device"])
                optimizer.zero_grad()
                loss = model.calculate_loss(interaction)
                loss.backward()
                optimizer.step()
                lengths = interaction["item_length"]
                if meter.done(len(lengths), lengths.sum()):
                    os.chdir("/")
                    return {"versions": versions("torch", "recbole")}


class Textbook(Newest):
    """Masks item by item in Python, 80/10/10, as the widely copied loaders do."""

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, labels = [], []
        for item in self.rows[place].tolist():
            draw = random.random()
            if item == 0 or draw >= 0.15:
                inputs.append(item)
                labels.append(0)
                continue
            draw /= 0.15
            if draw < 0.8:
                inputs.append(self.num_items + 1)
            elif draw < 0.9:
                inputs.append(random.randint(1, self.num_items))
            else:
                inputs.append(item)
            labels.append(item)
        return torch.LongTensor(inputs), torch.LongTensor(labels)


class TextbookAttention(nn.Module):
    """Softmax of a matrix product with a dense mask, step by step."""

    def __init__(self, hidden: int, heads: int):
        super().__init__()
        self.heads = heads
        self.linears = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(4))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, hidden = x.shape
        query, key, value = (
            linear(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for linear in self.linears[:3]
        )
        scores = query @ key.transpose(-2, -1) / (hidden // self.heads) ** 0.5
        weights = self.dropout(scores.masked_fill(mask == 0, -1e9).softmax(-1))
        x = (weights @ value).transpose(1, 2).contiguous().view(batch, length, hidden)
        return self.linears[3](x)


class TextbookBlock(nn.Module):
    def __init__(self, hidden: int, heads: int):
        super().__init__()
        self.attention = TextbookAttention(hidden, heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * hidden, hidden)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.dropouts = nn.ModuleList(nn.Dropout(0.1) for _ in range(3))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = x + self.dropouts[0](self.attention(self.norms[0](x), mask))
        x = x + self.dropouts[1](self.feed_forward(self.norms[1](x)))
        return self.dropouts[2](x)


class TextbookBERT(nn.Module):
    """Embeddings, two blocks, and a linear layer at every position."""

    def __init__(self, num_items: int, hidden: int, length: int, heads: int):
        super().__init__()
        self.items = nn.Embedding(num_items + 2, hidden, padding_idx=0)
        self.positions = nn.Embedding(length, hidden)
        self.dropout = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(TextbookBlock(hidden, heads) for _ in range(2))
        self.out = nn.Linear(hidden, num_items + 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        mask = (tokens > 0).unsqueeze(1).repeat(1, tokens.shape[1], 1).unsqueeze(1)
        x = self.dropout(self.items(tokens) + self.positions.weight)
        for block in self.blocks:
            x = block(x, mask)
        return self.out(x)


def run_textbook(setting: Setting, meter: Meter) -> dict:
    """The textbook loop, word for word: Python masking, logits and loss at every position."""
    data = Textbook(setting)
    torch.manual_seed(0)
    random.seed(0)
    model = TextbookBERT(data.num_items, setting.hidden, setting.length, setting.heads)
    model = model.to(setting.device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss(ignore_index=0)
    while True:
        for tokens, labels in DataLoader(data, setting.batch, shuffle=True, drop_last=True):
            tokens, labels = tokens.to(setting.device), labels.to(setting.device)
            logits = model(tokens)
            loss = criterion(logits.view(-1, logits.shape[-1]), labels.view(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if meter.done(len(tokens), (tokens != 0).sum()):
                return {"versions": versions("torch")}


def versions(*packages: str) -> dict[str, str]:
    """The versions of the packages that decide the speed."""
    return {package: importlib.metadata.version(package) for package in packages}


RUNS = {
    "bert4rec": run_ours,
    "Hugging Face": run_hugging_face,
    "RecTools": run_rectools,
    "RecBole": run_recbole,
    "textbook": run_textbook,
}


def main(name: str, arguments: str) -> None:
    setting = Setting(**json.loads(arguments))
    meter = Meter(setting)
    result = RUNS[name](setting, meter)
    result |= {
        "seconds": meter.seconds,
        "sequences_per_second": meter.sequences / meter.seconds,
        "tokens_per_second": int(meter.tokens) / meter.seconds,
        "peak_memory_mb": meter.memory / 2**20,
        "threads": torch.get_num_threads(),
    }
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
