"""The exported scoring part answers as the model does."""

import numpy as np
import pytest
import torch
from helpers import tiny_model

from bert4rec import InputError, Recommender, Vocabulary
from bert4rec.recommend.export import to_onnx


@pytest.mark.parametrize("shape", [{}, {"norm_first": True, "tie_weights": True}])
def test_onnx_gives_the_models_scores(tmp_path, shape):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = tiny_model(num_items=20, **shape)
    Recommender(model, Vocabulary(list(range(20)))).to_onnx(tmp_path / "new" / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "new" / "model.onnx")
    assert [put.name for put in session.get_inputs()] == ["histories"]
    for batch, length in ((1, 1), (1, 7), (3, 4), (50, 7)):
        histories = torch.randint(1, 21, (batch, length))
        histories[0, : length // 2] = 0
        histories[-1, :] = 0 if batch > 2 else 1  # padding alone is a history too
        (scores,) = session.run(["scores"], {"histories": histories.numpy()})
        expected = model.score(histories).numpy()
        np.testing.assert_allclose(scores[:, 1:-1], expected[:, 1:-1], atol=1e-4)
        assert np.isneginf(scores[:, [0, -1]]).all()
    assert model.training is False
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'bert4rec\[onnx\]'"):
        to_onnx(tiny_model(5), tmp_path / "model.onnx")
