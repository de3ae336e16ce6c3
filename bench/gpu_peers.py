"""Those who train on the GPU: scratchnet both ways, the books' code over CuPy, PyTorch in three ways.

As in `peers`: each is made from a `Job`, and its fit(epochs) returns every epoch's mean loss. Data and weights are
on the GPU before the clock starts; reading the losses at the end waits for everything. Nobody uses TF32.
"""

from __future__ import annotations

import importlib.util
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from chain_model import dense_chain
from numpy_books import book2, functions, optimizers
from peers import Job, NumPy, Scratchnet, Torch, TorchCompiled, _need
from timing import Missing

import scratchnet


class ScratchnetPlan(Scratchnet):
    """Trainer.fit of a model on the GPU, whole steps as graphs."""

    compile: bool | None = None

    def __init__(self, job: Job) -> None:
        try:
            x, t = scratchnet.to_gpu(job.x), scratchnet.to_gpu(job.labels())
        except scratchnet.NoGPUError as error:
            raise Missing(str(error)) from None
        super().__init__(job)
        self.model.to("cuda")
        self.x, self.t = x, t

    def fit(self, epochs: int) -> list[float]:
        trainer = scratchnet.Trainer(self.model, scratchnet.SGD(self.job.lr), compile=self.compile)
        trainer.fit(self.x, self.t, epochs, self.job.batch, eval_interval=10, verbose=False)
        self.engine = trainer.engine
        return [entry["loss"] for entry in trainer.history]


class ScratchnetLayers(ScratchnetPlan):
    """The same, layer by layer."""

    compile = False


class PlainCuPy(NumPy):
    """The books' code with CuPy's names in NumPy's place; batches come from NumPy's stream, as everybody's."""

    def __init__(self, job: Job) -> None:
        cupy = _need("cupy", "CuPy")
        self.job = job
        self.books = _books_over(cupy)
        weights = [*map(cupy.asarray, job.weights())]
        self.model = dense_chain(self.books.layers, weights, job.activation.capitalize())
        self.x, self.t = cupy.asarray(job.x), cupy.asarray(job.labels())

    def fit(self, epochs: int) -> list[float]:
        trainer = self.books.trainer.Trainer(self.model, self.books.optimizers.SGD(self.job.lr))
        trainer.fit(self.x, self.t, epochs, self.job.batch, eval_interval=10, verbose=False)
        return trainer.epoch_losses


def _books_over(cupy: Any) -> SimpleNamespace:
    """Return second copies of the books' modules, whose `np` is CuPy."""

    def copy(module: ModuleType) -> Any:
        spec = module.__spec__
        assert spec is not None and spec.loader is not None
        second = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(second)
        second.np = _Names(cupy)
        return second

    modules = dict(layers=book2.layers, trainer=book2.trainer, optimizers=optimizers, functions=functions)
    over = SimpleNamespace(**{name: copy(module) for name, module in modules.items()})
    over.layers.softmax = over.functions.softmax  # imported by name
    return over


class _Names:
    """CuPy's names, but for the permutation."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self.random = SimpleNamespace(permutation=lambda x: cupy.asarray(np.random.permutation(len(x))))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cupy, name)


class TorchEager(Torch):
    """PyTorch, an operation at a time."""

    def __init__(self, job: Job) -> None:
        torch = _need("torch", "PyTorch")
        if not torch.cuda.is_available():
            raise Missing("PyTorch finds no GPU")
        torch.backends.cuda.matmul.allow_tf32 = False
        super().__init__(job)
        self.model.cuda()
        self.x, self.t = self.x.cuda(), self.t.cuda()
        self.total = torch.zeros((), device="cuda")

    def _step(self, batch: Any) -> None:
        loss = self.torch.nn.functional.cross_entropy(self.model(self.x[batch]), self.t[batch])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.total += loss.detach()

    def fit(self, epochs: int) -> list[float]:
        losses = []
        for order in self.job.orders(epochs):
            self.total.zero_()
            for batch in self.torch.from_numpy(order).cuda():
                self._step(batch)
            losses.append(self.total.item() / len(order))
        return losses


class TorchCompiledOnGPU(TorchCompiled):
    """PyTorch, the whole step compiled, from the gather to the update."""

    def __init__(self, job: Job) -> None:
        TorchEager(job)  # says what is missing
        super().__init__(job)
        self.params = [p.cuda() for p in self.params]
        self.x, self.t = self.x.cuda(), self.t.cuda()

    def fit(self, epochs: int) -> list[float]:
        torch, losses = self.torch, []
        with torch.no_grad():
            for order in self.job.orders(epochs):
                total = torch.zeros((), dtype=self.x.dtype, device="cuda")
                for batch in torch.from_numpy(order).cuda():
                    self.step(self.params, self.x, self.t, batch, total)
                losses.append(total.item() / len(order))
        return losses


class TorchGraphs(TorchEager):
    """PyTorch, the whole step captured as a CUDA graph, as its manual has it."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        torch = self.torch
        before = [p.detach().clone() for p in self.model.parameters()]
        self.batch = torch.zeros(job.batch, dtype=torch.int64, device="cuda")
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # the manual's warm-up
                self._step(self.batch)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            super()._step(self.batch)
        with torch.no_grad():
            for p, start in zip(self.model.parameters(), before, strict=True):
                p.copy_(start)

    def fit(self, epochs: int) -> list[float]:
        losses = []
        for order in self.job.orders(epochs):
            self.total.zero_()
            for batch in self.torch.from_numpy(order).cuda():
                self.batch.copy_(batch)
                self.graph.replay()
            losses.append(self.total.item() / len(order))
        return losses
