"""Notebook 1: from ratings, or any other log, to every user's items in order of time.

A log comes in as a table (`movielens`, `readers`), its ids become tokens (`vocabulary`), what
is left after filtering is stored flat (`sequences`) and split into training, validation and test.
"""

from .catalogue import Catalogue
from .interactions import Reading
from .large import build_sequences
from .movielens import download_movielens, load_movielens
from .readers import read_interactions
from .sequences import Sequences
from .splits import Holdout, Split
from .vocabulary import IGNORE, PAD, Vocabulary
