"""What only the notebooks use.

Their figures (`style`, `diagrams`, `plots`), the interactive list of notebook 6 (`picker`), what
was written in another notebook (`reuse`), and whether an answer to an exercise is right.
"""

from . import plots
from .exercises import check
from .picker import picker
from .reuse import reuse
