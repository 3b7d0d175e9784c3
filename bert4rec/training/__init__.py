"""Notebook 4: training.

The loop is in `loop`, all that decides its result in `settings`, chosen by
the log in `auto`; what moves the weights in
`optimizers`, what they start from in `warm_start`, what is kept of them in `checkpoint`.
"""

from .auto import AUTO, auto_preset
from .checkpoint import History
from .loop import train
from .settings import PRESETS, SCHEDULES, Preset, TrainingConfig, get_preset
