"""What the notes share: their training loop, and how their numbers and lines are compared."""

import re

import numpy as np


def train(model, optimizer, x, t, max_epoch, batch_size, due):
    """The notes' loop. Where `due(iters)` says so, the mean loss since the last time is recorded."""
    max_iters = len(x) // batch_size
    averages, total, count = [], 0, 0
    for _ in range(max_epoch):
        idx = np.random.permutation(len(x))
        x, t = x[idx], t[idx]
        for iters in range(max_iters):
            batch = slice(iters * batch_size, (iters + 1) * batch_size)
            total += model.forward(x[batch], t[batch])
            model.backward()
            optimizer.update(model.params, model.grads)
            count += 1
            if due(iters):
                averages.append(total / count)
                total, count = 0, 0
    return averages


def last_of_ten(iters):
    """When the notes' loops print."""
    return (iters + 1) % 10 == 0


def first_of_ten(iters):
    """When the notes' Trainer prints, at eval_interval=10."""
    return iters % 10 == 0


def at_zero_seconds(text):
    """The printed lines with every time set to 0: how long a step takes is the machine's affair."""
    return re.sub(r"(시간|time) \d+\[s\]", r"\1 0[s]", text).splitlines()


def two_decimals(losses):
    return [f"{loss:.2f}" for loss in losses]


def assert_close(got, want):
    """Equal but for the rounding of float64 sums over a handful of terms."""
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def assert_same_pass(ours, own, *shape_in, shape_out):
    """Twice forward and backward: equal results, and the gradient arrays overwritten where they lie."""
    grads = list(ours.grads)
    for _ in range(2):
        x, dout = np.random.randn(*shape_in), np.random.randn(*shape_out)
        assert_close(ours.forward(x), own.forward(x))
        assert_close(ours.backward(dout), own.backward(dout))
        assert all(now is then for now, then in zip(ours.grads, grads, strict=True))
        for got, want in zip(grads, own.grads, strict=True):
            assert_close(got, want)
