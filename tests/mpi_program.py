"""What tests/test_mpi.py starts under mpiexec: fits on all ranks, compared with those of one process."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from chain_model import Chain
from killed_fit import digest, language_model
from mpi4py import MPI

from scratchnet import optimizer as optimizers
from scratchnet._streams import state_of
from scratchnet.callbacks import CSVLog, EarlyStopping
from scratchnet.dataset import spiral
from scratchnet.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Relu,
    SoftmaxWithLoss,
)
from scratchnet.models import MultiLayerNet, Sequential
from scratchnet.trainer import RnnlmTrainer, Trainer

COMM = MPI.COMM_WORLD
RANK, SIZE = COMM.Get_rank(), COMM.Get_size()
X, T = spiral.load_data()
# Relative, as promised for 100 epochs of the spiral.
BOUND = {"float64": 1e-12, "float32": 1e-5}


class Patient:
    """A communicator whose ranks sleep while they wait: there may be more of them than processors."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def _wait(self, request: Any) -> None:
        while not request.Test():
            time.sleep(2e-5)

    def Allgather(self, *buffers: Any) -> None:
        self._wait(self._comm.Iallgather(*buffers))

    def Alltoallv(self, *buffers: Any) -> None:
        self._wait(self._comm.Ialltoallv(*buffers))

    def Allgatherv(self, *buffers: Any) -> None:
        self._wait(self._comm.Iallgatherv(*buffers))


PATIENT = Patient(COMM)


def small(dtype: str, **options: Any) -> Any:
    return MultiLayerNet(2, [10], 3, weight_init_std=0.3, dtype=np.dtype(dtype), **options)


def deep(dtype: str, *extra: Any) -> Any:
    """A network of scratchnet's with more layers in the middle."""
    W1, W2 = (np.random.randn(*shape).astype(dtype) * 0.5 for shape in ((2, 12), (12, 3)))
    b1, b2 = np.zeros(12, dtype), np.zeros(3, dtype)
    return Sequential([Affine(W1, b1), *extra, Relu(), Affine(W2, b2)], SoftmaxWithLoss())


def normalized(dtype: str, D: int = 12) -> Any:
    return BatchNormalization(np.ones(D, dtype), np.zeros(D, dtype))


def images(dtype: str) -> Any:
    filters, W = 0.3 * np.random.randn(3, 1, 3, 3), 0.1 * np.random.randn(3 * 4 * 4, 3)
    layers = [
        Convolution(filters.astype(dtype), np.zeros(3, dtype)),
        normalized(dtype, 3),
        Relu(),
        Flatten(),
        Dropout(0.2),
        Affine(W.astype(dtype), np.zeros(3, dtype)),
    ]
    return Sequential(layers, SoftmaxWithLoss())


def readers(dtype: str, *extra: Any) -> Any:
    """A reader's own class, layer by layer."""
    net = deep(dtype, *extra)
    return Chain(net.layers, net.loss_layer)


def tied(dtype: str) -> Any:
    """A reader's own class, two layers of which share their weights."""
    W0, W, W1 = (np.random.randn(*shape).astype(dtype) * 0.5 for shape in ((2, 6), (6, 6), (6, 3)))
    b = np.zeros(6, dtype)
    layers = [Affine(W0, b.copy()), Affine(W, b), Relu(), Affine(W, b), Relu(), Affine(W1, np.zeros(3, dtype))]
    return Chain(layers, SoftmaxWithLoss())


WEIGHTS = np.arange(300) % 4 * 0.5
ZERO_AT_FIRST = np.where(np.arange(300) % 30 < 20, 0.0, 1.0)
IMAGES = np.random.RandomState(0).rand(300, 1, 6, 6)
SOME = np.random.RandomState(1).permutation(300)[:41]
ONE_LEFT = dict(
    x=X[SOME], t=T[SOME], batch_size=20, drop_last=False
)  # fewer rows than ranks are in the last batch

# Model, optimizer, rate, and more arguments of fit
CASES: dict[str, Any] = {
    **{
        f"{name} {dtype}": (lambda dtype=dtype: small(dtype), name, rate, {})
        for name, rate in [("SGD", 1.0), ("Momentum", 0.1), ("Nesterov", 0.1), ("AdaGrad", 0.3),
                           ("RMSprop", 0.01), ("Adam", 0.03)]
        for dtype in ("float64", "float32")
    },
    "clipped, decay": (lambda: small("float64", weight_decay=1e-3), "SGD", 1.0, dict(max_grad=0.1)),
    "dropout": (lambda: deep("float64", Dropout(0.3)), "Momentum", 0.1, {}),
    "dropout float32": (lambda: deep("float32", Dropout(0.3)), "Momentum", 0.1, {}),
    "normalized": (
        lambda: deep("float64", normalized("float64")), "SGD", 0.3, dict(drop_last=False, batch_size=37)
    ),
    "normalized float32": (lambda: deep("float32", normalized("float32")), "SGD", 0.3, {}),
    "normalized, weights": (
        lambda: deep("float64", normalized("float64")), "SGD", 0.3, dict(sample_weight=ZERO_AT_FIRST)
    ),
    "reader's, normalized": (lambda: readers("float64", normalized("float64")), "Adam", 0.03, {}),
    "reader's, dropout": (lambda: readers("float64", Dropout(0.3)), "Adam", 0.03, dict(rng=3)),
    "reader's, proved": (lambda: readers("float64"), "Momentum", 0.1, dict(compile=True)),
    "tied": (lambda: tied("float64"), "AdaGrad", 0.1, dict(max_grad=0.5)),
    "images": (lambda: images("float64"), "Adam", 0.01, dict(x=IMAGES, drop_last=False, batch_size=32)),
    "uneven": (lambda: small("float64"), "Momentum", 0.1, dict(batch_size=31)),
    "smaller last": (lambda: small("float64"), "Momentum", 0.1, dict(batch_size=37, drop_last=False)),
    "one row last": (lambda: deep("float64", Dropout(0.2)), "SGD", 0.3, ONE_LEFT),
    "one row last, normalized": (
        lambda: deep("float64", normalized("float64")), "SGD", 0.1, ONE_LEFT
    ),
    "weights": (lambda: small("float64"), "Adam", 0.03, dict(sample_weight=WEIGHTS)),
    "weights 0 on a rank": (
        lambda: small("float64", weight_decay=1e-3), "SGD", 0.3, dict(sample_weight=ZERO_AT_FIRST)
    ),
    "layers": (lambda: small("float64", weight_decay=1e-3), "SGD", 1.0, dict(compile=False)),
    "regression": (
        lambda: MultiLayerNet(2, [8], 1, dtype=np.dtype("float64"), loss="identity"), "SGD", 0.1,
        dict(t=X[:, :1] * X[:, 1:]),
    ),
    "float16": (lambda: small("float16"), "SGD", 0.5, {}),
}  # fmt: skip


def trained(case: str, comm: Any, epochs: int) -> Any:
    """Train a case; return its trainer."""
    make, name, rate, given = CASES[case]
    given = {"batch_size": 30, "t": T, **given}
    if case.startswith("weights") or case.endswith("weights"):
        given["rng"] = 1
    x, t, compile = given.pop("x", X), given.pop("t"), given.pop("compile", None)
    np.random.seed(1)
    trainer = Trainer(make(), getattr(optimizers, name)(rate), compile=compile, comm=comm)
    trainer.fit(x, t, epochs, eval_interval=3, verbose=False, **given)
    return trainer


def text_trained(comm: Any, epochs: int, ignore: bool = False, **given: Any) -> Any:
    np.random.seed(1)
    words = np.arange(73) ** 2 % 8
    ts = np.where(words[1:] == 4, -1, words[1:]) if ignore else words[1:]
    trainer = RnnlmTrainer(language_model(), optimizers.Adam(0.01), comm=comm)
    trainer.fit(words[:-1], ts, epochs, 6, 3, 0.5, 2, verbose=False, **given)
    return trainer


def all_of(trainer: Any) -> str:
    """A checksum of what a fit leaves behind."""
    lists = [getattr(trainer, name) for name in trainer._lists]
    layers = [vars(layer) for layer in getattr(trainer.model, "layers", ())]
    buffers = [held.get("running_mean") for held in layers]
    return digest([lists, trainer.model.params, trainer.optimizer.state_dict(), buffers, state_of(None)])


def same_on_all(what: str, value: Any) -> None:
    values = COMM.allgather(value)
    assert len(set(map(str, values))) == 1, (what, values)


def close(case: str, ours: Any, theirs: Any, bound: float) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=bound, err_msg=f"{case}, rank {RANK} of {SIZE}")
    assert len(ours)


def compare(epochs: int, cases: Any) -> None:
    """Each case on all ranks against one process."""
    for case in cases:
        trainer, alone = trained(case, PATIENT, epochs), trained(case, None, epochs)
        dtype = str(trainer.model.params[0].dtype)
        close(case, trainer.loss_list, alone.loss_list, BOUND.get(dtype, 5e-2))
        close(
            case, [e["loss"] for e in trainer.history], [e["loss"] for e in alone.history], BOUND.get(dtype, 5e-2)
        )
        same_on_all(case, all_of(trainer))
        expected = "layers" if "ormalized" in case or case == "images" else alone.engine
        assert trainer.engine == (expected if SIZE > 1 else alone.engine), (case, trainer.engine)


def text(epochs: int) -> None:
    for ignore in (False, True):
        trainer, alone = text_trained(PATIENT, epochs, ignore), text_trained(None, epochs, ignore)
        close(f"text, {ignore}", trainer.ppl_list, alone.ppl_list, 1e-11)
        same_on_all("text", all_of(trainer))


def begin_from_rank_0() -> None:
    """Whatever the others have, and have drawn, is replaced; so is what they know of earlier fits."""
    np.random.seed(RANK)
    trainer = Trainer(small("float64"), optimizers.Adam(0.02), comm=PATIENT)
    trainer.fit(X, T, 2, 30, verbose=False)
    same_on_all("rank 0's", all_of(trainer))
    np.random.seed(0)
    alone = Trainer(small("float64"), optimizers.Adam(0.02))
    alone.fit(X, T, 2, 30, verbose=False)
    close("rank 0's", trainer.history[-1]["loss"] * np.ones(1), alone.history[-1]["loss"] * np.ones(1), 1e-12)
    trainer.fit(X, T, 1, 30, verbose=False)  # goes on
    same_on_all("again", all_of(trainer))


def watched(folder: Path) -> None:
    """Validation, callbacks and files."""
    np.random.seed(1)
    ended = []

    def at_once(trainer: Any) -> bool:
        ended.append(trainer.rank)
        np.random.rand(trainer.rank)  # does not part the ranks
        return trainer.rank == SIZE - 1 and len(ended) == 4

    trainer = Trainer(small("float32"), optimizers.SGD(1.0), comm=PATIENT)
    stopping, log = EarlyStopping("val_loss", patience=100), CSVLog(folder / "log.csv")
    trainer.fit(X, T, 50, 30, validation=(X[::2], T[::2]), callbacks=[stopping, log, at_once], verbose=False,
                metric=lambda model, x, t: float(model.predict(x).sum()))  # fmt: skip
    assert trainer.current_epoch == 4 and len(trainer.history) == 4
    same_on_all("watched", all_of(trainer))
    same_on_all("watched", trainer.history)
    last = trainer.history[-1]
    assert abs(last["accuracy"] - trainer.model.accuracy(X, T)) < 1e-12
    assert abs(last["val_accuracy"] - trainer.model.accuracy(X[::2], T[::2])) < 1e-12
    COMM.Barrier()
    assert len((folder / "log.csv").read_text().splitlines()) == 5


def sharded(folder: Path) -> None:
    """Each rank has its own rows; the shards differ in length, and a resumed run has the bits of a whole one."""
    mine = slice(RANK, None, SIZE) if RANK else slice(0, 250, SIZE)
    for drop_last in (True, False):
        for weights in (None, WEIGHTS[mine]):

            def fit(epochs: int, weights: Any = weights, drop_last: bool = drop_last, **given: Any) -> Any:
                np.random.seed(1)
                trainer = Trainer(deep("float64", Dropout(0.2)), optimizers.SGD(0.3), comm=PATIENT)
                trainer.fit(X[mine], T[mine], epochs, 31, verbose=False, sharded=True, sample_weight=weights,
                            drop_last=drop_last, validation=(X, T), **given)  # fmt: skip
                return trainer

            path = folder / f"sharded {drop_last} {weights is None}.npz"
            whole = fit(4)
            assert whole.history[-1]["loss"] < whole.history[0]["loss"] * 1.1
            fit(2, checkpoint=path)
            resumed = fit(4, checkpoint=path, resume=True)
            assert all_of(resumed) == all_of(whole), "sharded"
            same_on_all("sharded", all_of(whole))


def resumed(folder: Path) -> None:
    for case in ("Adam float32", "dropout", "reader's, normalized", "text"):
        path = folder / f"{case}.npz"

        def fit(epochs: int, case: str = case, **given: Any) -> Any:
            if case == "text":
                return text_trained(PATIENT, epochs, **given)
            make, name, rate, _ = CASES[case]
            np.random.seed(1)
            trainer = Trainer(make(), getattr(optimizers, name)(rate), comm=PATIENT)
            trainer.fit(X, T, epochs, 31, eval_interval=3, verbose=False, **given)
            return trainer

        whole = fit(4)
        fit(2, checkpoint=path)
        assert all_of(fit(4, checkpoint=path, resume=True)) == all_of(whole), case
        if SIZE > 1:
            try:
                if case == "text":
                    RnnlmTrainer(language_model(), optimizers.Adam(0.01)).load_checkpoint(path)
                else:
                    make, name, rate, _ = CASES[case]
                    Trainer(make(), getattr(optimizers, name)(rate)).fit(
                        X, T, 5, 31, eval_interval=3, verbose=False, checkpoint=path, resume=True
                    )
                    raise AssertionError("another number of ranks went on")
            except ValueError as error:
                assert "ranks is 1, but the run of the checkpoint has" in str(error), error


def one_changed(x: Any) -> Any:
    changed = x.copy()
    changed[7, 1] += 1
    return changed


def differ() -> None:
    """What the ranks give differently is named on all of them, and they can go on."""
    last = RANK == SIZE - 1
    net = {"hidden": lambda n: MultiLayerNet(2, [n], 3)}["hidden"]
    trials: dict[str, Any] = {
        "batch_size": (net(10), optimizers.SGD(1.0), X, T, dict(batch_size=20 if last else 30)),
        "parameters": (net(11 if last else 10), optimizers.SGD(1.0), X, T, {}),
        "the parameters": (small("float64" if last else "float32"), optimizers.SGD(1.0), X, T, {}),
        "optimizer": (net(10), optimizers.Adam() if last else optimizers.SGD(), X, T, {}),
        "the data": (net(10), optimizers.SGD(), X[: 299 if last else 300], T[: 299 if last else 300], {}),
        "values of the data": (net(10), optimizers.SGD(), one_changed(X) if last else X, T, {}),
        "optimizer's settings": (net(10), optimizers.SGD(0.1 + 0.1 * last), X, T, {}),
        "max_epoch": (net(10), optimizers.SGD(), X, T, dict(max_epoch=2 if last else 1)),
        "model's settings": (small("float32", weight_decay=0.1 * last), optimizers.SGD(), X, T, {}),
    }
    for name, (model, optimizer, x, t, given) in trials.items():
        try:
            Trainer(model, optimizer, comm=PATIENT).fit(x, t, **{"max_epoch": 1, "batch_size": 30, **given})
        except ValueError as error:
            assert "the ranks differ in" in str(error) and name in str(error) and f"rank {SIZE - 1}" in str(error)
        else:
            raise AssertionError(f"{name} differed, and nobody said so")
    # A rank whose arguments are refused, and one that fails in the middle: the others learn of it.
    for given in ({"batch_size": -1}, {"callbacks": failing}):
        try:
            Trainer(net(10), optimizers.SGD(), comm=PATIENT).fit(X, T, 3, verbose=False, **(given if last else (
                {"callbacks": fine} if "callbacks" in given else {})))  # fmt: skip
        except ValueError as error:
            assert last, error
        except RuntimeError as error:
            assert not last and f"rank {SIZE - 1} failed: ValueError" in str(error), error
        else:
            raise AssertionError("nobody failed")
    if RANK == 0:
        Trainer(net(10), optimizers.SGD()).fit(X, T, 1, verbose=False)  # alone


class failing:
    def __new__(cls, trainer: Any = None) -> Any:
        raise ValueError("the callback's own")


def fine(trainer: Any) -> None:
    """A callback."""


def quick(folder: str) -> None:
    """What `make test` runs: few epochs of some cases; every optimizer in one dtype."""
    kept = ["clipped, decay", "dropout", "one row last, normalized", "reader's, proved", "weights 0 on a rank"]
    compare(1, [*list(CASES)[:12:2], *kept])
    text(1)
    watched(Path(folder))
    differ()


def checks(folder: str) -> None:
    path = Path(folder)
    compare(2, CASES)
    text(2)
    begin_from_rank_0()
    watched(path)
    resumed(path)
    if SIZE > 1:
        sharded(path)
        differ()


def whole(folder: str) -> None:
    compare(100, CASES)
    text(20)


def emulated(folder: str) -> None:
    """On the GPU, here an emulated one: gradients go over the host."""
    import on_device

    with on_device.emulated():
        for name, make in {
            "small": lambda: small("float32"),
            "deep": lambda: deep("float32", normalized("float32")),
        }.items():
            ends = []
            for comm in (PATIENT, None):
                np.random.seed(1)
                trainer = Trainer(make().to("cuda"), optimizers.Momentum(0.1), comm=comm)
                trainer.fit(X[:90], T[:90], 2, 31, max_grad=0.5, verbose=False, drop_last=False, validation=(X, T))
                ends.append([entry["loss"] for entry in trainer.history])
                if comm is PATIENT:
                    assert trainer.engine == "cuda-layers"
                    same_on_all(name, digest([trainer.history, [p.get() for p in trainer.model.params]]))
            close(name, *ends, 1e-5)


def faulty(how: str) -> None:
    """A rank ends in some way while the others train; they must end, too."""
    trainer = Trainer(small("float64"), optimizers.SGD(0.1), comm=COMM)
    last = RANK == SIZE - 1

    def callback(trainer: Any) -> None:
        if trainer.current_epoch == 2 and last:
            if how == "raises":
                raise ValueError("what went wrong")
            if how == "leaves":
                sys.exit(3)
            if how == "killed":
                os.kill(os.getpid(), 9)
            if how == "raises while others wait":
                raise ValueError("what went wrong")
        elif how == "raises while others wait":
            COMM.barrier()  # of the user's own
        if trainer.current_epoch == 1 and RANK == 0:
            print("trains", flush=True)

    if last and how == "raises before":
        raise ValueError("what went wrong")
    if last and how == "leaves before":
        sys.exit(3)
    if how == "raises after":
        trainer.fit(X, T, 1, 30, verbose=False)
        if last:
            raise ValueError("what went wrong")
        COMM.barrier()
    trainer.fit(X, T, 10**9, 30, verbose=False, callbacks=callback)


def killed(folder: str) -> None:
    """Train with a checkpoint; rank 1 is killed unless the file `once` is there."""
    once = Path(folder) / "once"

    def callback(trainer: Any) -> None:
        if trainer.current_epoch == 4 and RANK == 1 and not once.exists():
            once.touch()
            os.kill(os.getpid(), 9)

    np.random.seed(1)
    trainer = Trainer(small("float64"), optimizers.Adam(0.03), comm=COMM)
    path = Path(folder) / "run.npz"
    trainer.fit(X, T, 6, 30, verbose=False, callbacks=callback, checkpoint=path, resume=True)
    if RANK == 0:
        print(f"ends with {all_of(trainer)}", flush=True)


if __name__ == "__main__":
    _, what, *arguments = sys.argv
    run = {f.__name__: f for f in (quick, checks, whole, emulated, faulty, killed)}[what]
    run(*arguments)
    print(f"rank {RANK} of {SIZE} is done", flush=True)
