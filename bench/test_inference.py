"""Prediction: one picture, blocks of pictures, the grid behind a decision boundary."""

from __future__ import annotations

import numpy as np
import pytest
from chain_model import dense_chain
from data import digits
from numpy_books import book2
from peers import Job, Torch, _Jax
from timing import Contestant, Target, contest

import scratchnet

CLOSE = {"float32": 1e-5, "float64": 1e-12}  # of the scores, relative to the largest


def plane(points: int) -> np.ndarray:
    """The points of a square, as the books' picture of a decision boundary asks for them."""
    side = np.linspace(-1, 1, int(points**0.5))
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


WORKS = {
    "one image": ((784, 50, 100, 10), lambda: digits()[0][:1]),
    "10000 images": ((784, 50, 100, 10), lambda: digits()[0][:10000]),
    "grid of 490000 points": ((2, 10, 3), lambda: plane(490000)),
}


def scratchnet_predict(job: Job):
    model = scratchnet.MultiLayerNet(job.sizes[0], list(job.sizes[1:-1]), job.sizes[-1], dtype=job.dtype)
    for param, weights in zip(model.params, job.weights(), strict=True):
        param[...] = weights
    return lambda: model.predict(job.x)


def numpy_predict(job: Job):
    model = dense_chain(book2.layers, job.weights())
    return lambda: model.predict(job.x)


def torch_predict(job: Job):
    trained = Torch(job)
    model, x, inference = trained.model.eval(), trained.x, trained.torch.inference_mode

    def predict():
        with inference():
            return model(x)

    return predict


def jax_predict(job: Job):
    trained = _Jax(job)
    jax, params = trained.jax, trained.params

    @jax.jit
    def scores(params, x):
        for W, b in zip(params[:-2:2], params[1:-2:2], strict=True):
            x = jax.nn.sigmoid(x @ W + b)
        return x @ params[-2] + params[-1]

    return lambda: scores(params, trained.x).block_until_ready()


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("work", WORKS)
def test_predict(benchmark, seconds, work, dtype):
    sizes, make_x = WORKS[work]
    x = make_x().astype(dtype)
    job = Job(sizes, 1, x, np.zeros(len(x), np.int64), lr=0.0, dtype=np.dtype(dtype))
    makers = {"scratchnet": scratchnet_predict, "NumPy": numpy_predict, "PyTorch": torch_predict}
    if dtype == "float32":
        makers["JAX"] = jax_predict
    exact = dense_chain(book2.layers, [w.astype(np.float64) for w in job.weights()])
    true = exact.predict(x.astype(np.float64))

    def close(name: str, scores) -> None:
        scores = np.asarray(scores)
        np.testing.assert_allclose(scores, true, rtol=0, atol=CLOSE[dtype] * np.abs(true).max(), err_msg=name)

    def contestant(name: str) -> Contestant:
        def make():
            predict = makers[name](job)
            return predict, predict

        return Contestant(name, make)

    contest(
        benchmark,
        [contestant(name) for name in makers],
        close,
        targets=[Target("NumPy", least=3)] if (work, dtype) == ("one image", "float32") else [],
        seconds=3 * seconds,
        table="inference",
        work=f"{'-'.join(map(str, sizes))}, {work}",
        dtype=dtype,
    )
