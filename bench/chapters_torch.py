"""Steps of the later chapters' networks as PyTorch's own modules make them: the same numbers as `chapters.py`'s.

The weights are the books' arrays; what PyTorch keeps in another layout is laid out anew once, beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

import numpy as np
import torch
from torch import nn

Step = Callable[[], float]


def _set(module: nn.Module, **arrays: np.ndarray) -> nn.Module:
    for name, array in arrays.items():
        setattr(module, name, nn.Parameter(torch.from_numpy(np.ascontiguousarray(array))))
    return module


def convolutional(weights: dict[str, np.ndarray], x: np.ndarray, t: np.ndarray) -> Step:
    """Book 1's convolutional network and step: 100 images drawn, Adam, and the loss once more."""
    W = weights
    model = nn.Sequential(
        _set(nn.Conv2d(1, 30, 5), weight=W["W1"], bias=W["b1"]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        _set(nn.Linear(4320, 100), weight=W["W2"].T, bias=W["b2"]),
        nn.ReLU(),
        _set(nn.Linear(100, 10), weight=W["W3"].T, bias=W["b3"]),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    images, labels = torch.from_numpy(x.astype(W["W1"].dtype)), torch.from_numpy(t)
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        batch = torch.from_numpy(np.random.choice(len(x), 100))
        x_batch, t_batch = images[batch], labels[batch]
        # The books add 1e-7 to the root of what PyTorch divides by this first.
        optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.999**steps) ** 0.5
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x_batch), t_batch).backward()
        optimizer.step()
        with torch.no_grad():
            return nn.functional.cross_entropy(model(x_batch), t_batch).item()

    return step


def language_model(
    weights: Sequence[np.ndarray], batches: Sequence[tuple[np.ndarray, np.ndarray]], lr: float, max_grad: float
) -> Step:
    """Book 2's language model, whose state goes on from batch to batch, and the step of its trainer."""
    embed_W, Wx, Wh, b, affine_W, affine_b = weights
    V, D = embed_W.shape
    H = len(Wh)
    # The books have forget, new, input, output; PyTorch input, forget, new, output.
    gates = np.arange(4 * H).reshape(4, H)[[2, 0, 1, 3]].reshape(-1)
    embed = _set(nn.Embedding(V, D), weight=embed_W)
    lstm = _set(
        nn.LSTM(D, H, batch_first=True),
        weight_ih_l0=Wx.T[gates],
        weight_hh_l0=Wh.T[gates],
        bias_ih_l0=b[gates],
        bias_hh_l0=np.zeros_like(b),
    )
    lstm.bias_hh_l0.requires_grad_(False)  # the books have one bias
    affine = _set(nn.Linear(H, V), weight=affine_W.T, bias=affine_b)
    params = [p for module in (embed, lstm, affine) for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=lr)
    turn = cycle([tuple(map(torch.from_numpy, batch)) for batch in batches])
    state = None

    def step() -> float:
        nonlocal state
        xs, ts = next(turn)
        hs, (h, c) = lstm(embed(xs), state)
        state = h.detach(), c.detach()
        loss = nn.functional.cross_entropy(affine(hs).reshape(-1, V), ts.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, max_grad)
        optimizer.step()
        return loss.item()

    return step
