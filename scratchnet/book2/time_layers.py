"""Book 2's `common.time_layers`: `scratchnet.time_layers`, and what the book's module re-exports: layers too."""

from .. import time_layers
from ..functions import cross_entropy_error, sigmoid, softmax
from ..layers import (
    Affine,
    Dropout,
    Embedding,
    MatMul,
    Sigmoid,
    SigmoidWithLoss,
    Softmax,
    SoftmaxWithLoss,
)
from ..layers import (
    Relu as Relu,
)
from ..layers import (
    Repeat as Repeat,
)
from ..layers import (
    Sum as Sum,
)
from ..time_layers import *
from ._lookup import looked_up

__all__ = ["GPU", "cross_entropy_error", "np", "sigmoid", "softmax"]
__all__ += ["Affine", "Dropout", "Embedding", "MatMul", "Sigmoid", "SigmoidWithLoss", "Softmax", "SoftmaxWithLoss"]
__all__ += time_layers.__all__

__getattr__ = looked_up(__name__)
