"""What only the notebooks use.

Their figures (`style`, `diagrams`, `plots`), the interactive list of notebook 6 (`picker`), and
whether an answer to an exercise is right (`exercises`).
"""

from . import plots
from .exercises import check
from .picker import picker
