"""Parameters in files: the same bits back, whole files or none, and no model changed by a wrong one."""

import os
import pickle
import stat
import sys

import numpy as np
import pytest

from scratchnet import SGD, MultiLayerNet, Trainer, TwoLayerNet, load_params, save_params
from scratchnet.dataset import spiral
from scratchnet.weights import read_weights

# Beside the numbers, an .npz holds for each array its name and its header, some 400 bytes.
OVERHEAD = 3000


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bits(model):
    return [p.tobytes() for p in model.params]


def net(seed=0, sizes=(2, 3, 3), **options):
    made = TwoLayerNet(*sizes, 1.0, rng=seed, **options)
    for p in made.params[1::2]:
        p[...] = np.arange(p.size) / 3
    return made


def refusal(model, path, error=ValueError):
    """The message that a file is refused with; the model must not have changed."""
    before = bits(model)
    try:
        load_params(model, path)
    except error as refused:
        assert type(refused) is error and bits(model) == before
        return str(refused)
    return pytest.fail("the file was taken")


# There and back


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("hidden", [[], [5], [5, 4, 3]])
def test_parameters_come_back_to_the_bit(dtype, hidden):
    saved = MultiLayerNet(4, hidden, 3, dtype=dtype, rng=0)
    saved.params[0].flat[:4] = [np.nan, np.inf, -0.0, 1e-7]
    loaded = MultiLayerNet(4, hidden, 3, dtype=dtype, rng=1)
    own = list(loaded.params)
    saved.save_params("weights.npz")
    loaded.load_params("weights.npz")
    assert bits(loaded) == bits(saved)
    assert all(a is b for a, b in zip(own, loaded.params, strict=True))
    assert loaded.layers[0].W is loaded.params[0]


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("w", "w.npz"),
        ("w.npz", "w.npz"),
        ("w.v1", "w.v1.npz"),
        ("한글 이름", "한글 이름.npz"),
        ("sub/w", "sub/w.npz"),
    ],
)
def test_the_suffix_is_added_where_it_is_missing(folder, path, file):
    (folder / "sub").mkdir()
    model = net()
    assert save_params(model, path) == type(folder)(file)
    assert (folder / file).is_file() and len(list((folder / file).parent.iterdir())) <= 2
    for again in (path, folder / path, str(folder / file)):
        other = net(1)
        load_params(other, again)
        assert bits(other) == bits(model)


def test_the_file_is_plain_numpy_without_a_pickle():
    model = net(activation="relu")
    save_params(model, "w")
    with np.load("w.npz", allow_pickle=False) as file:
        assert sorted(file) == ["W1", "W2", "activation", "architecture", "b1", "b2"]
        assert str(file["activation"]) == "relu"
        np.testing.assert_array_equal(file["W1"], model.params[0])
    assert list(read_weights("w")) == ["W1", "b1", "W2", "b2", "activation", "architecture"]


def test_float16_halves_the_file_and_keeps_the_accuracy(folder):
    x, t = spiral.load_data()
    np.random.seed(0)
    model = TwoLayerNet(2, 10, 3)
    Trainer(model, SGD(1.0)).fit(x, t, max_epoch=200, batch_size=30, verbose=False)
    accuracy = model.accuracy(x, t)
    assert accuracy > 0.7
    model.save_params("half", np.float16)
    rounded = [p.astype(np.float16).astype(np.float32).tobytes() for p in model.params]
    model.load_params("half")
    assert bits(model) == rounded
    assert abs(model.accuracy(x, t) - accuracy) < 1.5 / len(x)  # at most one point, on the boundary

    large = net(sizes=(784, 50, 10))
    sizes = {dtype: large.save_params("large", dtype).stat().st_size for dtype in (None, "float16", "float64")}
    numbers = sum(p.size for p in large.params)
    for dtype, bytes_each in ((None, 4), ("float16", 2), ("float64", 8)):
        assert bytes_each * numbers < sizes[dtype] < bytes_each * numbers + OVERHEAD


@pytest.mark.parametrize("saved", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("own", [np.float16, np.float32, np.float64])
def test_numbers_are_cast_to_the_models_dtype(saved, own):
    model, other = net(dtype=saved), net(1, dtype=own)
    save_params(model, "w")
    load_params(other, "w")
    for p, q in zip(model.params, other.params, strict=True):
        assert q.dtype == own
        np.testing.assert_array_equal(q, p.astype(own))


class Own:
    """A reader's model: only params, here a list for every layer."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.params = [
            [rng.normal(size=(2, 3)), rng.normal(size=3)],
            [],
            [np.asfortranarray(rng.normal(size=(3, 4)))],
        ]


def test_a_readers_own_class_with_a_list_for_every_layer():
    model, other = Own(0), Own(1)
    save_params(model, "own")
    with np.load("own.npz") as file:
        assert sorted(file) == ["W1", "W2", "b1"]
    load_params(other, "own")
    np.testing.assert_array_equal(other.params[0][0], model.params[0][0])
    np.testing.assert_array_equal(other.params[0][1], model.params[0][1])
    np.testing.assert_array_equal(other.params[2][0], model.params[2][0])


# Whole or not at all


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), MemoryError()])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(folder, monkeypatch, error):
    save_params(net(0), "w")
    before = (folder / "w.npz").read_bytes()

    def fails_midway(file, **arrays):
        file.write(b"PK half a file")
        raise error

    monkeypatch.setattr(np, "savez", fails_midway)
    for path in ("w", "new"):
        with pytest.raises(type(error)):
            save_params(net(1), path)
    assert os.listdir(folder) == ["w.npz"] and (folder / "w.npz").read_bytes() == before


def test_a_new_file_takes_the_old_ones_place_in_one_move(folder):
    """Written over, the old file would for a while be neither; whoever has it open keeps it."""
    before = save_params(net(0), "w").read_bytes()
    os.link("w.npz", "opened.npz")
    save_params(net(1), "w")
    assert (folder / "opened.npz").read_bytes() == before != (folder / "w.npz").read_bytes()


def test_what_a_killed_process_left_behind_does_not_stop_the_next_save(folder, monkeypatch):
    """In a container every run may have the same process number."""
    names, savez = [], np.savez
    monkeypatch.setattr(np, "savez", lambda file, **arrays: names.append(file.name) or savez(file, **arrays))
    save_params(net(0), "w")
    with open(names[0], "wb") as left_behind:
        left_behind.write(b"PK half a file")
    save_params(net(1), "w")
    model = net(2)
    load_params(model, "w")
    assert bits(model) == bits(net(1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_file_has_the_permissions_that_umask_says(umask):
    before = os.umask(umask)
    try:
        path = save_params(net(), "w")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_folder_that_is_missing_is_named(folder):
    with pytest.raises(OSError, match="missing"):
        save_params(net(), "missing/w")
    assert os.listdir(folder) == []


@pytest.mark.parametrize(("dtype", "number"), [(np.float16, 7e4), (np.float16, -1e30), (np.float32, 1e39)])
def test_numbers_too_large_for_the_file_are_refused(folder, dtype, number):
    model = net(dtype=np.float64)
    model.params[2][0, 0] = number
    with pytest.raises(ValueError, match=f"W2 .*too large for {np.dtype(dtype)}"):
        save_params(model, "w", dtype)
    assert os.listdir(folder) == []
    model.params[2][0, 0] = np.inf  # not the file's fault
    save_params(model, "w", dtype)


@pytest.mark.parametrize("dtype", [int, "complex64", "S1"])
def test_a_file_of_other_dtypes_is_refused(folder, dtype):
    with pytest.raises(ValueError, match="float16, float32 or float64"):
        save_params(net(), "w", dtype)
    assert os.listdir(folder) == []


@pytest.mark.parametrize("params", [[np.ones(3, int)], [np.ones(3, complex)], ["text"], [None]])
def test_parameters_that_are_no_floating_numbers_are_refused(folder, params):
    model = Own(0)
    model.params = params
    with pytest.raises(ValueError, match="p1 must contain floating-point numbers"):
        save_params(model, "w")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("function", [save_params, load_params])
def test_a_model_without_params_is_refused(function):
    with pytest.raises(ValueError, match="no params"):
        function(object(), "w")


@pytest.mark.parametrize("function", [save_params, load_params])
@pytest.mark.parametrize("name", ["", "."])
def test_a_weights_file_needs_a_name(function, name):
    with pytest.raises(ValueError, match="expected the name of a weights file, got"):
        function(net(), name)


# Files that do not fit


@pytest.mark.parametrize(
    "other",
    [
        net(1, sizes=(2, 4, 3)),
        net(1, sizes=(2, 3, 4)),
        MultiLayerNet(2, [3, 3], 3, rng=1),
        MultiLayerNet(2, [], 3, rng=1),
    ],
)
def test_other_shapes_are_refused_naming_both(other):
    save_params(net(), "w")
    message = refusal(other, "w")
    assert "W1 (2, 3), b1 (3,), W2 (3, 3), b2 (3,)" in message
    assert f"W1 {other.params[0].shape}" in message and f"b1 {other.params[1].shape}" in message


def test_another_activation_is_refused():
    save_params(net(), "w")
    message = refusal(net(1, activation="relu"), "w")
    assert "sigmoid" in message and "relu" in message


def test_numbers_too_large_for_the_model_are_refused():
    model = net(dtype=np.float64)
    model.params[2][0, 0] = 1e300
    save_params(model, "w")
    assert "W2" in refusal(net(1), "w")


def test_a_model_that_cannot_be_written_is_refused():
    model = Own(0)
    save_params(model, "w")
    model.params[2][0].flags.writeable = False
    before = model.params[0][0].copy()
    model.params[0][0] += 1
    with pytest.raises(ValueError, match="W2"):
        load_params(model, "w")
    np.testing.assert_array_equal(model.params[0][0], before + 1)


def test_a_missing_file_is_named_without_numpys_traceback():
    assert "there.npz" in refusal(net(), "there", FileNotFoundError)


def damaged(kind):
    whole = save_params(net(), "whole").read_bytes()
    if kind == "truncated":
        return whole[: len(whole) // 2]
    if kind == "garbage":
        return np.random.default_rng(0).bytes(500)
    if kind == "text":
        return b"W1: 0.1 0.2\n"
    if kind == "pickle":
        return pickle.dumps({"W1": [1.0]})
    return b""


@pytest.mark.parametrize("kind", ["truncated", "garbage", "text", "pickle", "empty"])
def test_what_is_no_weights_file_is_refused_in_plain_words(folder, kind):
    (folder / "w.npz").write_bytes(damaged(kind))
    message = refusal(net(1), "w")
    assert "w.npz is not a weights file, or is damaged" in message
    assert "allow_pickle" not in message  # NumPy's advice to load it unsafely is no help here


def test_files_of_other_arrays_are_refused(folder):
    np.save("single.npy", np.ones(3))
    os.replace("single.npy", "single.npz")
    message = refusal(net(), "single")
    assert "not a weights file" in message and "context manager" not in message
    np.savez("objects.npz", W1=np.array([{}], dtype=object))
    assert "not a weights file" in refusal(net(), "objects")
    np.savez("integers.npz", W1=np.ones((2, 3), int))
    assert "W1 has dtype int64" in refusal(net(), "integers")
    np.savez("others.npz", x=np.ones(3))
    assert "x (3,)" in refusal(net(), "others")


class Malicious:
    """Unpickled, it leaves a trace."""

    def __reduce__(self):
        return os.mkdir, ("trace",)


def test_no_code_in_a_file_is_run(folder):
    np.savez("w.npz", W1=np.array([Malicious()], dtype=object))
    (folder / "pickle.npz").write_bytes(pickle.dumps(Malicious()))
    refusal(net(), "w")
    refusal(net(), "pickle")
    assert not (folder / "trace").exists()


def test_every_damage_is_noticed_or_harmless(folder):
    """A byte changed or the end lost: the file is refused, or gives the same weights (in its dates, say)."""
    model = net()
    whole = save_params(model, "w").read_bytes()
    places = [
        *range(0, len(whole), 5),
        *range(len(whole) - 60, len(whole)),
    ]  # the archive's directory is at its end
    versions = [whole[:i] for i in places] + [whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :] for i in places]
    other, refused = net(1), 0
    untouched = bits(other)
    for version in versions:
        (folder / "w.npz").write_bytes(version)
        try:
            load_params(other, "w")
        except ValueError:
            assert bits(other) == untouched
            refused += 1
        else:
            assert bits(other) == bits(model)
            other = net(1)
    assert refused > len(places)
