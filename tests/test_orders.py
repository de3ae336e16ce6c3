"""The order of the samples: NumPy's own permutations, drawn in C, and every other as it draws itself."""

import signal
import threading
from itertools import islice

import numpy as np
import pytest

from scratchnet import SGD, Trainer, TwoLayerNet, _engines, _orders
from scratchnet.backends import shuffle_epochs

BIT_GENERATORS = [np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64]

X = np.random.default_rng(0).standard_normal((12, 2))
T = np.arange(12) % 3


def plainly(permutation, rows, used):
    """Yield the first rows of each epoch, composed as the book does."""
    order = np.arange(rows)
    while True:
        order = order[permutation(rows)]
        yield order[:used].tolist()


def in_c(monkeypatch):
    """Return a list that gets an entry for every call that draws in C."""
    calls = []
    monkeypatch.setattr(_orders, "shuffle_epochs", lambda *a: calls.append(a) or shuffle_epochs(*a))
    return calls


@pytest.fixture
def global_stream():
    """NumPy's global stream, put back after the test with its bit generator."""
    before, state = np.random.get_bit_generator(), np.random.get_state()
    yield
    np.random.set_bit_generator(before)
    np.random.set_state(state)


@pytest.mark.parametrize("bit_generator", BIT_GENERATORS)
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 5, 8, 9, 300, 2**16 + 2])
def test_the_numbers_and_the_stream_after_them_are_numpys(bit_generator, rows, monkeypatch):
    ours, theirs = (np.random.RandomState(bit_generator(7)) for _ in range(2))
    calls = in_c(monkeypatch)
    for stream in (ours, theirs):
        stream.randn(3)  # one number of a pair is kept
        stream.randint(0, 9, 1, dtype=np.uint32)  # PCG64 keeps half of 64 bits
    used = rows - rows // 3
    orders, expected = _orders.Orders(ours.permutation, rows), plainly(theirs.permutation, rows, used)
    for epochs in (1, 3):
        drawn = orders.draw(epochs, used)
        assert drawn.reshape(epochs, used).tolist() == list(islice(expected, epochs))
    assert len(calls) == 2
    assert ours.randn(5).tolist() == theirs.randn(5).tolist()
    assert ours.randint(0, 2**31, 5).tolist() == theirs.randint(0, 2**31, 5).tolist()


class Backwards:
    """A stream of the reader's."""

    def permutation(self, n):
        return np.arange(n)[::-1]


class Sorted(np.random.RandomState):
    """A stream of NumPy's that was extended."""

    def permutation(self, n):
        return np.sort(super().permutation(n))


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.random.default_rng(3).permutation,
        lambda: Backwards().permutation,
        lambda: Sorted(3).permutation,
        lambda: lambda n: np.random.RandomState(3).permutation(n),
        lambda: lambda n: list(range(n - 1, -1, -1)),
    ],
    ids=["Generator", "own object", "subclass", "function", "list"],
)
def test_every_other_permutation_is_called(make, monkeypatch):
    calls = in_c(monkeypatch)
    drawn = _orders.Orders(make(), 20).draw(3, 15)
    assert drawn.reshape(3, 15).tolist() == list(islice(plainly(make(), 20, 15), 3))
    assert not calls


def state_of(trainer):
    """What a fit changes, in bits, and the global stream."""
    model = [p.tobytes() for p in trainer.model.params]
    return model, list(trainer.loss_list), list(trainer.history), str(np.random.get_state(legacy=False))


def trainer(compile=None):
    return Trainer(TwoLayerNet(2, 3, 3, rng=0), SGD(0.5), compile=compile)


def fitted(compile=None, **options):
    np.random.seed(5)
    made = trainer(compile)
    made.fit(X, T, 40, 4, verbose=False, **options)
    return state_of(made)


def test_a_function_put_in_the_place_of_numpys_is_called(monkeypatch, global_stream):
    seen = []
    own = np.random.permutation
    monkeypatch.setattr(np.random, "permutation", lambda n: seen.append(n) or own(n)[::-1])
    result = fitted()
    assert seen == [12] * 40
    assert result == fitted(compile=False)


@pytest.mark.parametrize(
    "name", ["seed", "set_state", "get_state", "set_bit_generator", "get_bit_generator", "shuffle"]
)
def test_other_functions_that_were_replaced_change_nothing(name, monkeypatch, global_stream):
    expected = fitted(compile=False)
    np.random.seed(5)
    made = trainer()
    with monkeypatch.context() as patch:
        patch.setattr(np.random, name, None)
        made.fit(X, T, 40, 4, verbose=False)
    assert state_of(made) == expected


@pytest.mark.parametrize("compile", [None, False])
def test_a_bit_generator_that_a_callback_sets_is_drawn_from(compile, global_stream, monkeypatch):
    calls = in_c(monkeypatch)
    pcg64 = np.random.PCG64(3)

    def callback(trainer):
        if trainer.current_epoch == 2:
            np.random.set_bit_generator(pcg64)
        if trainer.current_epoch == 4:
            np.random.set_state(np.random.PCG64(8).state)

    seen = []
    engine = _engines.Planned if compile is None else _engines.Layers
    train = engine.train
    monkeypatch.setattr(engine, "train", lambda self, rows: seen.append(rows.tolist()) or train(self, rows))
    np.random.seed(5)
    trainer(compile).fit(X, T, 6, 12, verbose=False, callbacks=callback)
    first, second, third = (np.random.RandomState(b) for b in (np.random.MT19937(), np.random.PCG64(3), pcg64))
    first.seed(5)
    order, expected = np.arange(12), []
    for epoch in range(6):
        if epoch == 4:
            third.set_state(np.random.PCG64(8).state)
        stream = first if epoch < 2 else second if epoch < 4 else third
        order = order[stream.permutation(12)]
        expected.append(order.tolist())
    assert seen == expected and {type(call[0]) for call in calls} == {np.random.MT19937, np.random.PCG64}


@pytest.mark.thread_unsafe(reason="seeds NumPy's global stream")
@pytest.mark.parametrize("bit_generator", [np.random.MT19937, np.random.PCG64])
def test_a_random_state_of_the_caller_s(bit_generator):
    ours, theirs = (np.random.RandomState(bit_generator(3)) for _ in range(2))
    assert fitted(rng=ours) == fitted(compile=False, rng=theirs)  # the global stream, too, is as it was
    assert ours.randint(2**31) == theirs.randint(2**31)


def test_the_stream_s_lock_is_waited_for():
    stream = np.random.RandomState(3)
    drawn = threading.Event()

    def draw():
        _orders.Orders(stream.permutation, 10).draw(1, 10)
        drawn.set()

    with stream._bit_generator.lock:
        thread = threading.Thread(target=draw)
        thread.start()
        assert not drawn.wait(0.05)
    assert drawn.wait(10)
    thread.join()


def test_what_cannot_be_drawn_is_refused():
    bit_generator = np.random.MT19937(3)
    order = np.arange(3)
    with pytest.raises(ValueError, match="epochs of 4 rows from 3"):
        shuffle_epochs(bit_generator, order, np.empty((1, 4), np.int64))
    with pytest.raises(AttributeError):
        shuffle_epochs(object(), order, np.empty((1, 3), np.int64))
    assert order.tolist() == [0, 1, 2]


# Ctrl-C


@pytest.mark.parametrize("calls", [1, 2, 3, 5])
def test_an_interrupted_fit_leaves_the_model_and_the_stream_of_whole_epochs(calls, monkeypatch, global_stream):
    """Of those that it counts: epochs that are drawn ahead are trained before Ctrl-C is heard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    train, made = _engines.Planned.train, []

    def pressed(engine, rows):
        made.append(len(rows))
        if len(made) == calls:
            signal.raise_signal(signal.SIGINT)
        return train(engine, rows)

    try:
        np.random.seed(5)
        fast = trainer()
        with monkeypatch.context() as patch:
            patch.setattr(_engines.Planned, "train", pressed)
            with pytest.raises(KeyboardInterrupt):
                fast.fit(X, T, 10**6, 12, eval_interval=1, verbose=False)
        assert fast.current_epoch == sum(made) // 12 and len(made) == calls
        interrupted = state_of(fast)
        np.random.seed(5)
        slow = trainer(compile=False)
        slow.fit(X, T, sum(made) // 12, 12, eval_interval=1, verbose=False)
        assert state_of(slow) == interrupted
        for one in (fast, slow):  # and goes on from there
            np.random.seed(6)
            one.fit(X, T, 3, 12, eval_interval=1, verbose=False)
        assert state_of(slow) == state_of(fast)
    finally:
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
