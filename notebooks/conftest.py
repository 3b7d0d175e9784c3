"""Kernels that nbval starts inherit this: one thread and no GPU, so that numbers agree."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
