"""Checkpoints and early stopping of models on the GPU: files are the CPU's, and go on on either side."""

from __future__ import annotations

import numpy as np
import pytest

import scratchnet
from scratchnet.callbacks import EarlyStopping

CLOSE = {"rtol": 2e-4, "atol": 2e-5}  # a few steps in float32, sums in another order
X, T = (array[::10] for array in scratchnet.dataset.spiral.load_data())


def trainer(side, compiled=None):
    model = scratchnet.TwoLayerNet(2, 6, 3, 1.0, rng=0).to(side)
    return scratchnet.Trainer(model, scratchnet.Adam(0.05), compile=compiled)


def fit(trained, epochs, **options):
    trained.fit(X, T, epochs, 10, eval_interval=2, verbose=False, rng=3, **options)
    return [np.array(scratchnet.to_cpu(p)) for p in trained.model.params]


@pytest.mark.parametrize("compiled", [None, False])
def test_a_run_goes_on_from_its_checkpoint(cupy, compiled, tmp_path):
    path = tmp_path / "run"
    whole = trainer("cuda", compiled)
    expected = fit(whole, 3, validation=(X, T))
    fit(trainer("cuda", compiled), 1, validation=(X, T), checkpoint=path)
    with np.load(tmp_path / "run.npz") as archive:
        assert all(type(archive[name]) is np.ndarray for name in archive.files)
    parts = trainer("cuda", compiled)
    got = fit(parts, 3, validation=(X, T), checkpoint=path, resume=True)
    assert parts.engine == ("cuda-layers" if compiled is False else "cuda-plan")
    assert [a.tobytes() for a in got] == [a.tobytes() for a in expected]
    assert (parts.loss_list, parts.history) == (whole.loss_list, whole.history)


def test_a_run_goes_on_on_the_other_side(cupy, tmp_path):
    expected = fit(trainer("cpu"), 4)
    for first, second in (("cuda", "cpu"), ("cpu", "cuda")):
        path = tmp_path / first
        fit(trainer(first), 2, checkpoint=path)
        got = fit(trainer(second), 4, checkpoint=path, resume=True)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, **CLOSE)


def test_the_best_parameters_are_put_back_on_the_gpu(cupy, tmp_path):
    kept = []

    def keep(trained):
        trained.history[-1]["score_loss"] = [3, 1, 2, 2][len(kept)]
        kept.append([np.array(scratchnet.to_cpu(p)) for p in trained.model.params])

    stop, other, trained = EarlyStopping("score_loss", patience=2), trainer("cuda"), trainer("cuda")
    got = fit(trained, 9, callbacks=[keep, stop], checkpoint=tmp_path / "run")
    assert trained.current_epoch == 4 and trained.model.device == "cuda"
    assert [a.tobytes() for a in got] == [a.tobytes() for a in kept[1]]
    got = fit(other, 9, callbacks=stop, checkpoint=tmp_path / "run", resume=True)
    assert [a.tobytes() for a in got] == [a.tobytes() for a in kept[1]]
