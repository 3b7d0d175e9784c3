"""Notebooks 6 and 7: recommending, and a log of your own.

The best items after a history (`inference`), titles around it (`recommender`), from a log to a
model in one call (`fitting`), the model without Python (`export`), and how it came
about (`records`).
"""

from .recommender import Recommender
