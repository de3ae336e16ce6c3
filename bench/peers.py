"""Those who train the same network: the books' code, PyTorch, JAX, scikit-learn, Thinc; and scratchnet.

Each is a class made from a `Job`, whose fit(epochs) trains on and returns every epoch's mean loss. All draw their
batches as the books do, one numpy.random.permutation an epoch, except scikit-learn. Each is written as its own
manual would have it, and in favour of speed where there is a choice: data and labels are converted beforehand,
no loss is read before the epoch's end.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

import machine
import numpy as np
from chain_model import Chain, dense_chain
from numpy_books import book2
from timing import Missing

import scratchnet
import scratchnet.layers
import scratchnet.optimizer


@dataclass
class Job:
    """A network and its data: what everybody gets."""

    sizes: tuple[int, ...]
    batch: int
    x: np.ndarray
    t: np.ndarray  # indices or one-hot, as the data set has them
    lr: float
    activation: str = "sigmoid"
    dtype: Any = np.float32
    shuffle: bool = True
    optimizer: str = "SGD"  # or "Adam": scratchnet, the books' code and scikit-learn have that

    def weights(self) -> list[np.ndarray]:
        """[W1, b1, W2, ...], the same at every call, new arrays."""
        rng = np.random.default_rng(0)
        return [
            array.astype(self.dtype)
            for D, M in pairwise(self.sizes)
            for array in (rng.standard_normal((D, M)) * np.sqrt(1 / D), np.zeros(M))
        ]

    def labels(self) -> np.ndarray:
        return (self.t.argmax(axis=1) if self.t.ndim == 2 else self.t).astype(np.int64)

    def orders(self, epochs: int) -> Iterator[np.ndarray]:
        """For each epoch the samples of each step; shuffles compose, as the book's `x = x[idx]` makes them."""
        n = len(self.x)
        steps = n // self.batch
        order = np.arange(n)
        for _ in range(epochs):
            if self.shuffle:
                order = order[np.random.permutation(n)]
            yield order[: steps * self.batch].reshape(steps, self.batch)


def reference_losses(job: Job, epochs: int) -> list[float]:
    """Each epoch's mean loss, by the books' layers in float64: what everybody is held against."""
    model = dense_chain(book2.layers, [w.astype(np.float64) for w in job.weights()], job.activation.capitalize())
    optimizer, x, t = getattr(book2.optimizer, job.optimizer)(job.lr), job.x, job.labels()
    losses = []
    for order in job.orders(epochs):
        total = 0.0
        for batch in order:
            total += float(model.forward(x[batch].astype(np.float64), t[batch]))
            model.backward()
            optimizer.update(model.params, model.grads)
        losses.append(total / len(order))
    return losses


class Scratchnet:
    """Trainer.fit, made anew for every fit, as a script would."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = scratchnet.MultiLayerNet(
            job.sizes[0], list(job.sizes[1:-1]), job.sizes[-1], job.activation, dtype=job.dtype
        )
        for param, weights in zip(self.model.params, job.weights(), strict=True):
            param[...] = weights
        self.engine = ""

    def fit(self, epochs: int) -> list[float]:
        trainer = scratchnet.Trainer(self.model, getattr(scratchnet, self.job.optimizer)(self.job.lr))
        trainer.fit(self.job.x, self.job.t, epochs, self.job.batch, eval_interval=10, verbose=False)
        self.engine = trainer.engine
        return [entry["loss"] for entry in trainer.history]


class NumPy:
    """The books' Trainer."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = dense_chain(book2.layers, job.weights(), job.activation.capitalize())

    def fit(self, epochs: int) -> list[float]:
        trainer = book2.trainer.Trainer(self.model, getattr(book2.optimizer, self.job.optimizer)(self.job.lr))
        trainer.fit(self.job.x, self.job.t, epochs, self.job.batch, eval_interval=10, verbose=False)
        return trainer.epoch_losses


def own_loop(
    model: Chain, optimizer: Any, x: np.ndarray, t: np.ndarray, epochs: int, batch_size: int
) -> list[float]:
    """The training loop that a reader writes before meeting the Trainer; return each epoch's mean loss."""
    steps = len(x) // batch_size
    losses = []
    for _ in range(epochs):
        order = np.random.permutation(len(x))
        x, t = x[order], t[order]
        total = 0.0
        for step in range(steps):
            batch_x = x[step * batch_size : (step + 1) * batch_size]
            batch_t = t[step * batch_size : (step + 1) * batch_size]
            loss = model.forward(batch_x, batch_t)
            model.backward()
            optimizer.update(model.params, model.grads)
            total += loss
        losses.append(float(total / steps))
    return losses


class _OwnLoop:
    layers: Any
    optimizer: Any

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model = dense_chain(self.layers, job.weights(), job.activation.capitalize())

    def fit(self, epochs: int) -> list[float]:
        optimizer = self.optimizer.SGD(self.job.lr)
        return own_loop(self.model, optimizer, self.job.x, self.job.t, epochs, self.job.batch)


class NumPyLoop(_OwnLoop):
    """The reader's own loop and network class over NumPy layers."""

    layers, optimizer = book2.layers, book2.optimizer


class ScratchnetLoop(_OwnLoop):
    """The very same loop and class over scratchnet's layers."""

    layers, optimizer = scratchnet.layers, scratchnet.optimizer


class Torch:
    """PyTorch as its tutorials have it: nn.Sequential, cross entropy, optim.SGD."""

    def __init__(self, job: Job) -> None:
        torch = _need("torch", "PyTorch")
        self.job, self.torch = job, torch
        activation = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU}[job.activation]
        layers = []
        weights = job.weights()
        for W, b in zip(weights[::2], weights[1::2], strict=True):
            linear = torch.nn.Linear(*W.shape)
            linear.weight = torch.nn.Parameter(torch.from_numpy(W.T.copy()))
            linear.bias = torch.nn.Parameter(torch.from_numpy(b))
            layers += [linear, activation()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=job.lr)
        self.x = torch.from_numpy(job.x.astype(job.dtype))
        self.t = torch.from_numpy(job.labels())

    def fit(self, epochs: int) -> list[float]:
        torch = self.torch
        losses = []
        for order in self.job.orders(epochs):
            total = torch.zeros((), dtype=self.x.dtype)
            for batch in torch.from_numpy(order):
                loss = torch.nn.functional.cross_entropy(self.model(self.x[batch]), self.t[batch])
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
            losses.append(total.item() / len(order))
        return losses


class TorchCompiled:
    """The whole step, from the gather to the update, as one graph of torch.compile.

    Compiling a model alone leaves autograd and the optimizer to Python: for the small networks that is slower than
    not compiling, so the gradient is torch.func's, which the compiler sees through.
    """

    def __init__(self, job: Job) -> None:
        torch = _need("torch", "PyTorch")
        if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
            raise Missing("torch.compile needs a C++ compiler")
        self.job, self.torch = job, torch
        self.params = [torch.from_numpy(w) for w in job.weights()]
        self.x = torch.from_numpy(job.x.astype(job.dtype))
        self.t = torch.from_numpy(job.labels())
        activation = getattr(torch, job.activation)

        def loss_of(params: list[Any], x: Any, t: Any) -> Any:
            for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
                x = activation(torch.addmm(b, x, W))
            return torch.nn.functional.cross_entropy(torch.addmm(params[-1], x, params[-2]), t)

        def step(params: list[Any], x: Any, t: Any, batch: Any, total: Any) -> None:
            grads, loss = torch.func.grad_and_value(loss_of)(params, x[batch], t[batch])
            for p, g in zip(params, grads, strict=True):
                p.sub_(g, alpha=job.lr)
            total.add_(loss)

        self.step = torch.compile(step, fullgraph=True)

    def fit(self, epochs: int) -> list[float]:
        torch = self.torch
        losses = []
        with torch.no_grad():
            for order in self.job.orders(epochs):
                total = torch.zeros((), dtype=self.x.dtype)
                for batch in torch.from_numpy(order):
                    self.step(self.params, self.x, self.t, batch, total)
                losses.append(total.item() / len(order))
        return losses


class _Jax:
    def __init__(self, job: Job) -> None:
        jax = _need("jax", "JAX")
        self.job, self.jax, self.np = job, jax, import_module("jax.numpy")
        self.params = [self.np.asarray(w) for w in job.weights()]
        self.x = self.np.asarray(job.x.astype(job.dtype))
        self.t = self.np.asarray(job.labels(), dtype="int32")

    def _step(self, params: list[Any], x: Any, t: Any, batch: Any) -> tuple[list[Any], Any]:
        """Return the parameters after one step, and the loss before it."""
        jax, job = self.jax, self.job
        activation = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[job.activation]

        def loss_of(params: list[Any], x: Any, t: Any) -> Any:
            for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
                x = activation(x @ W + b)
            log_y = jax.nn.log_softmax(x @ params[-2] + params[-1])
            return -self.np.take_along_axis(log_y, t[:, None], axis=1).mean()

        loss, grads = jax.value_and_grad(loss_of)(params, x[batch], t[batch])
        return [p - job.lr * g for p, g in zip(params, grads, strict=True)], loss


class JaxStep(_Jax):
    """One jitted function a step."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.step = self.jax.jit(self._step, donate_argnums=0)

    def fit(self, epochs: int) -> list[float]:
        losses = []
        for order in self.job.orders(epochs):
            epoch = []
            for batch in order.astype(np.int32):
                self.params, loss = self.step(self.params, self.x, self.t, batch)
                epoch.append(loss)
            losses.append(float(np.mean(self.jax.device_get(epoch))))
        return losses


class JaxScan(_Jax):
    """One jitted function an epoch: lax.scan over its steps."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        jax = self.jax

        def epoch(params: list[Any], x: Any, t: Any, order: Any) -> tuple[list[Any], Any]:
            params, losses = jax.lax.scan(lambda params, batch: self._step(params, x, t, batch), params, order)
            return params, losses.mean()

        self.epoch = jax.jit(epoch, donate_argnums=0)

    def fit(self, epochs: int) -> list[float]:
        losses = []
        for order in self.job.orders(epochs):
            self.params, loss = self.epoch(self.params, self.x, self.t, order.astype(np.int32))
            losses.append(loss)
        return [float(loss) for loss in losses]


class Sklearn:
    """MLPClassifier.fit with plain SGD or Adam: no momentum, no weight decay, no early end.

    Its shuffle has a stream of its own, so it goes without one and has the same batches in every epoch, which is a
    little less work than the others have.
    """

    def __init__(self, job: Job) -> None:
        _need("sklearn", "scikit-learn")
        neural_network = import_module("sklearn.neural_network")
        self.job = job
        self.x, self.t = job.x.astype(job.dtype), job.labels()
        self.model = neural_network.MLPClassifier(
            job.sizes[1:-1],
            activation={"sigmoid": "logistic", "relu": "relu"}[job.activation],
            solver=job.optimizer.lower(),
            alpha=0.0,
            batch_size=job.batch,
            learning_rate_init=job.lr,
            momentum=0.0,
            nesterovs_momentum=False,
            epsilon=1e-7,  # the books' Adam has this
            shuffle=False,
            tol=0.0,
            n_iter_no_change=10**9,
            warm_start=True,
        )
        self.fit(1)  # this allocates the weights, which are then ours
        weights = job.weights()
        self.model.coefs_, self.model.intercepts_ = weights[::2], weights[1::2]

    def fit(self, epochs: int) -> list[float]:
        self.model.max_iter = epochs
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged, and is not meant to
            self.model.fit(self.x, self.t)
        return self.model.loss_curve_[-epochs:]


class Thinc:
    """Thinc's own layers, each affine with its activation, and its optimizer; float32, which is what it has."""

    def __init__(self, job: Job) -> None:
        thinc = _need("thinc.api", "Thinc")
        self.job = job
        hidden = {"sigmoid": thinc.Sigmoid, "relu": thinc.Relu}[job.activation]
        kinds = [hidden] * (len(job.sizes) - 2) + [thinc.Softmax]
        layers, weights = [], job.weights()
        for kind, W, b in zip(kinds, weights[::2], weights[1::2], strict=True):
            layers.append(kind(W.shape[1], W.shape[0]))
            layers[-1].initialize()
            layers[-1].set_param("W", W.T.copy())
            layers[-1].set_param("b", b)
        self.model = thinc.chain(*layers)
        self.optimizer = thinc.SGD(job.lr, L2=0.0, grad_clip=0.0, use_averages=False)
        self.x, self.t = job.x.astype(job.dtype), job.labels()

    def fit(self, epochs: int) -> list[float]:
        losses, rows = [], np.arange(self.job.batch)
        for order in self.job.orders(epochs):
            total = 0.0
            for batch in order:
                t = self.t[batch]
                y, backprop = self.model.begin_update(self.x[batch])
                total -= float(np.log(y[rows, t]).mean())
                y[rows, t] -= 1
                y /= len(rows)
                backprop(y)
                self.model.finish_update(self.optimizer)
            losses.append(total / len(order))
        return losses


def _need(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise Missing(f"{name} is not installed") from None


def made(contestant: Callable[[Job], Any], job: Job, check_epochs: int, epochs: int, threads: int = 1) -> Any:
    """A maker for `Contestant`: trains a few epochs for the check, then on and on for the clock."""

    def make() -> tuple[Callable[[], Any], Callable[[], Any]]:
        if issubclass(contestant, _Jax) and machine.fixed_threads() != threads:
            raise Missing(
                f"its threads are set when the process starts, and were set to {machine.fixed_threads()}"
            )
        if contestant is NumPy and threads > 1 and not machine.can_set_numpy():
            raise Missing("threadpoolctl is not installed, which gives NumPy its threads")
        trained = contestant(job)

        def first_losses() -> list[float]:
            np.random.seed(0)
            return trained.fit(check_epochs)

        return first_losses, lambda: trained.fit(epochs)

    return make
