"""Kernels as PyTorch's own operations, as near to the metal as they come: no autograd, outputs written in place.

The kernel's name and arguments; all outputs are returned, in the contract's order. There is no softmax with loss
and no sigmoid with loss here: PyTorch keeps logarithms instead of probabilities, so it is raced over forward and
backward together, which give the same numbers.
"""

import torch

aten = torch.ops.aten


def affine_forward(x, W, b, out):
    return torch.mm(x, W, out=out) if b is None else torch.addmm(b, x, W, out=out)


def affine_backward(dout, x, W, dx, dW, db):
    if dx is not None:
        torch.mm(dout, W.t(), out=dx)
    torch.mm(x.t(), dout, out=dW)
    if db is not None:
        torch.sum(dout, 0, out=db)
    return dx, dW, db


def sum_rows(x, out):
    return torch.sum(x, 0, out=out)


def repeat_rows(x, out):
    return out.copy_(x)


def gather_rows(x, index, out):
    return torch.index_select(x, 0, index, out=out)


def sigmoid_forward(x, out):
    return torch.sigmoid(x, out=out)


def sigmoid_backward(dout, y, dx):
    return aten.sigmoid_backward.grad_input(dout, y, grad_input=dx)


def relu_forward(x, out):
    return torch.clamp_min(x, 0, out=out)


def relu_backward(dout, y, dx):
    return aten.threshold_backward.grad_input(dout, y, 0, grad_input=dx)


def softmax_forward(x, y):
    return torch.softmax(x, 1, out=y)


def softmax_backward(dout, y, dx):
    return aten._softmax_backward_data.out(dout, y, 1, y.dtype, grad_input=dx)


def cross_entropy_forward(y, t, delta, clip):
    return -y.gather(1, t[:, None]).add(delta).log().mean()


def softmax_with_loss(x, t, dx):
    """The loss and its gradient, by the operations that autograd would call, without autograd."""
    log_y = torch.log_softmax(x, 1)
    loss, weight = aten.nll_loss_forward(log_y, t, None, 1, -100)
    d = aten.nll_loss_backward(torch.ones_like(loss), log_y, t, None, 1, -100, weight)
    return loss, aten._log_softmax_backward_data.out(d, log_y, 1, x.dtype, out=dx)


def sgd_update(p, g, lr):
    return p.add_(g, alpha=-lr)


def momentum_update(p, g, v, lr, momentum):
    return p.add_(v.mul_(momentum).add_(g, alpha=-lr)), v


def nesterov_update(p, g, v, lr, momentum):
    p.add_(v, alpha=momentum * momentum).add_(g, alpha=-(1 + momentum) * lr)
    return p, v.mul_(momentum).add_(g, alpha=-lr)


def adagrad_update(p, g, h, lr):
    h.addcmul_(g, g)
    return p.addcdiv_(g, h.sqrt().add_(1e-7), value=-lr), h


def rmsprop_update(p, g, h, lr, decay_rate):
    h.mul_(decay_rate).addcmul_(g, g, value=1 - decay_rate)
    return p.addcdiv_(g, h.sqrt().add_(1e-7), value=-lr), h


def adam_update(p, g, m, v, lr, beta1, beta2, epsilon):
    m.lerp_(g, 1 - beta1)
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    return p.addcdiv_(m, v.sqrt().add_(epsilon), value=-lr), m, v


def squared_norm(g):
    return torch.dot(g, g)


def scale(x, factor):
    return x.mul_(factor)
