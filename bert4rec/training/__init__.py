"""Notebook 4: training.

The loop is in `loop`, all that decides its result in `settings`; what moves the weights in
`optimizers`, what they start from in `warm_start`, what is kept of them in `checkpoint`.
"""

from .checkpoint import History
from .loop import train
from .settings import PRESETS, SCHEDULES, Preset, TrainingConfig, get_preset
