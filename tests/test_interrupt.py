"""Ctrl-C during a fit: however early or late it comes, it is raised, once, and Python's own handler is back."""

import contextlib
import signal
import sys
import threading

import numpy as np
import pytest
from chain_model import Chain

from scratchnet import SGD, RnnlmTrainer, Trainer, TwoLayerNet, _training
from scratchnet import trainer as trainer_module
from scratchnet.time_layers import TimeAffine, TimeEmbedding, TimeSoftmaxWithLoss

pytestmark = pytest.mark.thread_unsafe(reason="signals are the whole process's")

X = np.random.default_rng(0).standard_normal((12, 2))
T = np.arange(12) % 3


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    """Python's own handler, before and after."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def press_at(presses, function, *, traced, opcodes):
    """Call a function and press Ctrl-C as its n-th line or bytecode begins, for each n; return their number.

    Lines and bytecodes are counted in frames for which traced(code) is true.
    """
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not traced(frame.f_code):
            return None
        frame.f_trace_opcodes = opcodes
        if event == ("opcode" if opcodes else "line"):
            if count in presses:
                count += 1
                press()
            else:
                count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def of_training(code):
    return code.co_filename == _training.__file__


def of_the_block(code):
    return of_training(code) or code.co_name == "block"


def is_pythons_own():
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler


def plain():
    def block():
        with _training.finish_step_on_interrupt() as interrupted:
            interrupted()

    block()


def nested():
    """The second block stands for a fit in a callback."""

    def block():
        with _training.finish_step_on_interrupt() as interrupted:
            interrupted()
            with _training.finish_step_on_interrupt() as inner:
                inner()
            interrupted()

    block()


def under_way():
    def block():
        with _training.finish_step_on_interrupt() as interrupted:
            interrupted()
            raise ZeroDivisionError

    with contextlib.suppress(ZeroDivisionError):
        block()


@pytest.mark.parametrize("function", [plain, nested, under_way])
def test_no_bytecode_loses_a_ctrl_c(function):
    points = press_at((), function, traced=of_the_block, opcodes=True)
    assert points > 50
    for n in range(points):
        with pytest.raises(KeyboardInterrupt):
            press_at((n,), function, traced=of_the_block, opcodes=True)
        assert is_pythons_own(), n


def test_two_at_any_two_bytecodes():
    points = press_at((), plain, traced=of_the_block, opcodes=True)
    for first in range(points):
        for second in range(first + 1, points + 10, 3):
            with pytest.raises(KeyboardInterrupt):
                press_at((first, second), plain, traced=of_the_block, opcodes=True)
            assert is_pythons_own(), (first, second)


def trainer():
    return Trainer(TwoLayerNet(2, 3, 3, rng=0), SGD(0.1))


def plan():
    trainer().fit(X, T, 1, 12, verbose=False)


def layers():
    Trainer(TwoLayerNet(2, 3, 3, rng=0), SGD(0.1), compile=False).fit(X, T, 1, 12, verbose=False)


def callbacks():
    trainer().fit(X, T, 1, 12, verbose=False, callbacks=[lambda tr: None])


def a_fit_in_a_callback():
    trainer().fit(X, T, 1, 12, verbose=False, callbacks=[lambda tr: plan()])


def language_model():
    words = np.arange(12) % 5
    draw = np.random.default_rng(0).standard_normal
    model = Chain([TimeEmbedding(draw((5, 3))), TimeAffine(draw((3, 5)), np.zeros(5))], TimeSoftmaxWithLoss())
    RnnlmTrainer(model, SGD(0.1)).fit(words, words, 1, 2, 3, verbose=False)


def of_trainers(code):
    return code.co_name == "fit" or code.co_filename == trainer_module.__file__ or of_training(code)


@pytest.mark.parametrize("fit", [plan, layers, callbacks, a_fit_in_a_callback, language_model])
def test_no_line_of_a_fit_loses_a_ctrl_c(fit):
    lines = press_at((), fit, traced=of_trainers, opcodes=False)
    assert lines > 20
    for n in range(lines):
        with pytest.raises(KeyboardInterrupt):
            press_at((n,), fit, traced=of_trainers, opcodes=False)
        assert is_pythons_own(), n
    fit()


def test_a_fit_in_a_callback_is_interrupted_itself_and_the_callback_may_go_on():
    inner = trainer()

    def callback(outer):
        with pytest.raises(KeyboardInterrupt):
            inner.fit(X, T, 10**9, 12, verbose=False, callbacks=[lambda tr: tr.current_epoch == 3 and press()])

    outer = trainer()
    outer.fit(X, T, 2, 12, verbose=False, callbacks=[lambda tr: tr.current_epoch == 1 and callback(tr)])
    assert inner.current_epoch == 3 and outer.current_epoch == 2


def test_what_was_under_way_stays_visible():
    def callback(tr):
        press()
        return 1 / 0

    with pytest.raises(KeyboardInterrupt) as raised:
        trainer().fit(X, T, 2, 12, verbose=False, callbacks=[callback])
    assert isinstance(raised.value.__context__, ZeroDivisionError)


def test_a_handler_that_a_callback_sets_is_its_own():
    heard = []
    kept = []

    def callback(tr):
        if tr.current_epoch == 1:
            kept.append(signal.signal(signal.SIGINT, lambda *_: heard.append(1)))
        press()

    try:
        trainer().fit(X, T, 3, 12, verbose=False, callbacks=[callback])
        press()
        assert heard == [1] * 4
        signal.signal(signal.SIGINT, kept[0])  # late: what was in place during the fit
        with pytest.raises(KeyboardInterrupt):
            press()
        assert is_pythons_own()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_fit_in_another_thread_leaves_the_signal_to_the_main_one():
    started, release = threading.Event(), threading.Event()

    def wait(tr):
        started.set()
        release.wait(10)

    other = trainer()
    thread = threading.Thread(target=other.fit, args=(X, T, 2, 12), kwargs=dict(verbose=False, callbacks=[wait]))
    thread.start()
    started.wait(10)
    with pytest.raises(KeyboardInterrupt):
        press()
    release.set()
    thread.join()
    assert other.current_epoch == 2
