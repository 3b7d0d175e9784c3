"""The scoring part of a model alone, for servers that have no Python."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..evaluation import Blend
from ..files import make_folder, write_atomically
from ..model import BERT4Rec


class Scoring(nn.Module):
    """What `BERT4Rec.score` computes, without its checks: histories in, scores out."""

    def __init__(self, model: BERT4Rec, blend: Blend | None = None):
        super().__init__()
        self.model, self.mix = model, None if blend is None else blend.mix
        self.table = None if blend is None else blend.table

    def forward(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) int64, [PAD] in front, to (batch, num_items + 2)."""
        scores = self.model.next_scores(histories[:, -self.model.history_length :])
        return scores if self.mix is None else self.mix(scores, histories)


def to_onnx(model: BERT4Rec, path: str | Path, blend: Blend | None = None) -> None:
    """Write the scoring part of a model as an ONNX file.

    Its input `histories` is (batch, length) int64: item tokens (row numbers of vocabulary.csv,
    counted from 1), newest last, 0 in front, at most max_len - 1 of them (20 if that is less and
    there is a blend). Its output `scores` is
    (batch, num_items + 2) float32 by token, -inf for [PAD] and [MASK], as `BERT4Rec.score` gives.
    Leaving out what a user has seen is up to the caller.

    Raises:
        InputError: the packages onnx and onnxscript are missing, or the file cannot be written.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"writing ONNX needs the package {error.name!r}: pip install 'bert4rec[onnx]'."
        ) from error
    path = Path(path)
    make_folder(path.parent)
    model = copy.deepcopy(model).to("cpu")
    if blend is not None:
        blend = Blend(model, copy.deepcopy(blend.table).to("cpu"), blend.weight)
    scoring = Scoring(model, blend).eval()
    longest = model.history_length if blend is None else blend.history_length
    example = torch.ones(2, min(3, longest), dtype=torch.int64)
    length = torch.export.Dim("length", min=1, max=longest)
    shapes = {"histories": {0: torch.export.Dim("batch"), 1: length}}
    with warnings.catch_warnings():
        # what the exporter says about itself
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(
                scoring,
                (example,),
                dynamo=True,
                verbose=False,
                dynamic_shapes=shapes,
                input_names=["histories"],
                output_names=["scores"],
            )
        finally:
            logging.disable(logging.NOTSET)
    content = io.BytesIO()
    assert program is not None  # torch.onnx.export returns it where it writes no file
    program.save(content)  # type: ignore[arg-type]
    write_atomically(path, content.getvalue())
