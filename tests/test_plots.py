"""The figures' one style: readable, light and dark."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from bert4rec import (
    IGNORE,
    BERT4Rec,
    InputError,
    ItemTransitions,
    ModelConfig,
    Popularity,
    evaluate,
)
from bert4rec.notebook import plots
from bert4rec.notebook.style import THEMES, use_theme


@pytest.fixture(params=THEMES)
def theme(request):
    plt.switch_backend("Agg")
    use_theme(request.param)
    yield THEMES[request.param]
    use_theme("light")
    plt.close("all")


def contrast(one, other) -> float:
    """The contrast of two colours from 1 to 21 (WCAG 2.2, relative luminance)."""

    def luminance(colour):
        rgb = np.array(to_rgb(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_figure_is_readable_in_both_themes(theme, sequences):
    split = sequences.leave_one_out()
    report = evaluate({"transitions": ItemTransitions(split.train)}, split.test)
    other = evaluate(Popularity(split.train), split.test)
    curve = [
        {"epoch": 1, "step": 9, "loss": 2.0, "learning_rate": 0.1, "seconds": 9.0, "NDCG@10": 0.2},
        {"epoch": 2, "step": 18, "loss": 1.0, "learning_rate": 0.1, "seconds": 18.0},
    ]
    inputs, labels = torch.tensor([0, 5, 9]), torch.tensor([IGNORE, IGNORE, 7])
    model = BERT4Rec(ModelConfig(num_items=8, hidden_size=16)).eval()
    runs = [{"seed": 0, "curve": curve, "best_epoch": 1}]
    rows = [{"loss": "gbce", "items": n, "seconds": 1.0, "peak_memory_mb": n} for n in (10, 100)]
    figures = [
        plots.long_tail(sequences),
        plots.history_lengths(sequences, max_len=8),
        plots.masking(inputs, labels, {5: "five", 7: "seven"}, mask_token=9),
        plots.sublayer_stack(model.config),
        plots.attention(model.attention(inputs[None, 1:])[0][0], ["five", "[MASK]"]),
        plots.visibility({"both": torch.ones(2, 2).bool(), "one": torch.eye(2).bool()}, ["a", "b"]),
        plots.moved(torch.eye(2), torch.ones(2, 2), ["a", "b"], ("drawn", "danger")),
        plots.position_similarity(model.model.embedding.position_embeddings.weight),
        plots.quality_over_time(runs, {"published": 0.15}),
        plots.effects({"one": -0.02, "two": 0.01}, 0.003, "NDCG@10"),
        plots.target_ranks(report, "transitions", "popularity"),
        plots.protocols({"all": other, "again": other}),
        plots.popularity_of_lists({"some": np.array([1, 2])}, sequences),
        plots.item_map(np.random.rand(5, 2), ["a", "b", "a", "other", "b"], {0: "first"}),
        plots.cost_over_catalogue(rows),
        plots.rank_gains(longest=12),
        plots.gains(
            {"how old?": {"new": {"gain": 0.01, "standard error": 0.005, "users": 9}}}, "NDCG@10"
        ),
        plots.dots({"one": [0.1, 0.2], "other": [0.3]}, "NDCG@10", ("counting", 0.15)),
        plots.sampled_hits({"A": [0.8, 0.5, 0.0], "B": [0.5, 0.5, 0.5]}),
        plots.several_logs({"a log": {"counting": 0.1, "A": 0.2, "B": 0.3}}, "counting", "times"),
        plots.blend_curve({0.0: 0.08, 0.5: 0.1, 1.0: 0.07}),
        plots.learning([{"epoch": 1, "loss": 2.0, "NDCG@10": 0.1}], {"counting": 0.08}),
        plots.compared({"one": [8.0, 7.5], "other": [8.0, 9.0]}, {"start": 8.2}, xlabel="step"),
        plots.additions(
            {
                "added": {"a plain loop": []},
                "rows": {"a plain loop, seed 0": {"curve": curve[:1], "test": {"NDCG@10": 0.1}}},
            }
        ),
    ]
    for figure in figures:
        figure.canvas.draw()
        assert contrast(figure.get_facecolor()[:3], theme.paper) == pytest.approx(1)
        texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
        assert texts
        for text in texts:  # those on boxes stand on fills that are near the paper
            assert contrast(text.get_color(), theme.paper) >= 4.5, (text.get_text(), theme.paper)


def test_an_explanation_names_its_bars_and_its_shares_are_readable(theme):
    columns = pd.MultiIndex.from_tuples([("layer 1", "head 1"), ("gain", "Up (2009)")])
    films = pd.Index(["Heat (1995)", "Alien (1979)", "[MASK]"], name="title")
    table = pd.DataFrame([[0.05, -1.0], [0.44, 0.5], [0.51, np.nan]], films, columns)
    left, right = plots.explanation(table).axes
    assert [label.get_text() for label in right.get_yticklabels()] == [
        "Heat (1995)",
        "Alien (1979)",
    ]
    words = " ".join(text.get_text() for text in right.findobj(Text))
    assert all(word in words for word in ("lowered", "raised", "−1.00", "+0.50", "Up (2009)"))
    for text in left.texts:
        assert (
            contrast(text.get_color(), plt.get_cmap("cividis")(float(text.get_text()))[:3]) >= 4.5
        )


def test_text_on_boxes_and_lines_on_paper_can_be_told(theme):
    for kind, fill in theme.boxes.items():
        assert contrast(theme.ink, fill) >= 4.5, kind
    assert contrast(theme.muted, theme.paper) >= 4.5


def test_an_unknown_theme_is_named():
    with pytest.raises(InputError, match=r"no theme is called 'darc'.*dark"):
        use_theme("darc")
