"""Operations: a kernel with its output, for layers and functions.

    ops.sigmoid_forward(x, self)

An operation allocates what its kernel writes, and returns it. If the arrays fit as they are, all of it is compiled
(`cpu_ops.pxi`); otherwise a general path (`general.py`) casts, copies, chooses the backend, or raises an error in
the name of the owner: a layer, or a function by its name.
"""

from .cpu import are_rows_like
from .cpu import op_affine_backward as affine_backward
from .cpu import op_affine_forward as affine_forward
from .cpu import op_gather_rows as gather_rows
from .cpu import op_multiply_by_mask as multiply_by_mask
from .cpu import op_relu_backward as relu_backward
from .cpu import op_relu_forward as relu_forward
from .cpu import op_rnn_backward as rnn_backward
from .cpu import op_rnn_forward as rnn_forward
from .cpu import op_scatter_add_rows as scatter_add_rows
from .cpu import op_sigmoid_backward as sigmoid_backward
from .cpu import op_sigmoid_forward as sigmoid_forward
from .cpu import op_softmax_backward as softmax_backward
from .cpu import op_softmax_cross_entropy_backward as softmax_cross_entropy_backward
from .cpu import op_softmax_cross_entropy_forward as softmax_cross_entropy_forward
from .cpu import op_softmax_forward as softmax_forward
from .cpu import op_tanh_backward as tanh_backward
from .cpu import op_tanh_forward as tanh_forward

__all__ = [
    "affine_backward",
    "affine_forward",
    "are_rows_like",
    "gather_rows",
    "multiply_by_mask",
    "relu_backward",
    "relu_forward",
    "rnn_backward",
    "rnn_forward",
    "scatter_add_rows",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_backward",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
]
