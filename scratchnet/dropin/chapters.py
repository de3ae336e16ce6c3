"""What the books keep in the folders of their chapters, and what gains by being compiled as a whole."""

from __future__ import annotations

import numpy as np

from .. import models
from .._as_written import as_written


@as_written
class TwoLayerNet(models.TwoLayerNet):
    """Book 2's network of chapter 1, in float64 as the book's: a Trainer runs whole steps of it in C."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int) -> None:
        super().__init__(input_size, hidden_size, output_size, dtype=np.float64)
