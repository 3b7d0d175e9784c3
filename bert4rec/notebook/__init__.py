"""What only the notebooks use.

Their figures (`style`, `diagrams`, `plots`), those that a reader moves (`live`, `walk`), the page
in which the models run (`live_model`), the interactive list of notebook 6 (`picker`), what was
written in another notebook (`reuse`), figures on record (`recorded`), and whether an answer to an
exercise is right (`check`). In a notebook that imports it tables look as `tables` says, and figures
have twice the pixels.
"""

from . import plots
from .exercises import check
from .picker import picker
from .records import recorded, recorded_means
from .reuse import reuse
from .tables import use_tables

use_tables()
