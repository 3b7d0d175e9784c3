"""Notebook 5: how good is a model?

Where each user's target comes out (`ranks`), what that is worth (`metrics`), against which items it
is ranked (`negatives`, `protocols`), and what a model must beat (`baselines`).
"""

from .baselines import ItemKNN, ItemTransitions, OwnPopularity, Popularity
from .blend import Blend, TransitionTable, choose_blend, choose_weight
from .metrics import GAINS, METRICS
from .negatives import Negatives
from .protocols import Report, evaluate
from .ranks import Ranks, Scorer, rank_targets
