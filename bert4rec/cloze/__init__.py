"""Notebook 2: the cloze task.

Which items of a history are hidden and what stands in their place (`masks`), and the batches of
inputs and labels that a model learns from, of BERT4Rec and of SASRec (`batches`).
"""

from .batches import ClozeBatches, NextItemBatches, windows
from .masks import MASKS, check_cloze, choose_masked, hide
