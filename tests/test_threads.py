"""Threads: the same bits for any number of them, under fork, and for many callers at once."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cases import make_case
from chain_model import Chain
from processes import PYTHON, fresh, run

import scratchnet
from scratchnet import SGD, Adam, MultiLayerNet, Trainer, layers
from scratchnet.backends import cpu

pytestmark = pytest.mark.thread_unsafe(reason="sets the number of threads of the whole process")

BIG = {"N": 200, "D": 700, "M": 150}  # large enough to be split, in every direction, with odd ends


@pytest.fixture(autouse=True)
def keep_number_of_threads():
    before = scratchnet.get_num_threads()
    yield
    scratchnet.set_num_threads(before)


def outputs_with(threads: int, name: str, sizes: dict[str, int], dtype: type) -> list[bytes]:
    scratchnet.set_num_threads(threads)
    case = make_case(name, sizes, dtype)
    case.call(cpu)
    assert case.fences_hold()
    return [values.tobytes() for values in case.outputs().values()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "sizes",
    [BIG, {"N": 3000, "D": 700, "M": 10}, {"N": 9, "D": 700, "M": 1500}, {"N": 700, "D": 9, "M": 800}],
    ids=str,
)
@pytest.mark.parametrize("name", ["affine_forward", "affine_backward"])
def test_products_have_the_same_bits_for_any_number_of_threads(name, sizes, dtype):
    alone = outputs_with(1, name, sizes, dtype)
    for threads in (2, 3, 8):
        for _ in range(3):
            assert outputs_with(threads, name, sizes, dtype) == alone


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "name", ["im2col", "col2im", "convolution_forward", "convolution_backward", "max_pool_forward"]
)
def test_convolutions_have_the_same_bits_for_any_number_of_threads(name, dtype):
    sizes = dict(N=20, C=3, H=40, W=37, P=3, Q=3, stride=1, pad=1, K=75, M=21, L=600)
    alone = outputs_with(1, name, sizes, dtype)
    for threads in (2, 3, 8):
        assert outputs_with(threads, name, sizes, dtype) == alone


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [SGD, Adam])
def test_training_has_the_same_bits_for_any_number_of_threads(make, dtype):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((512, 300)), rng.integers(0, 10, 512)

    def train(threads):
        scratchnet.set_num_threads(threads)
        model, optimizer = MultiLayerNet(300, [900, 500], 10, "relu", "he", dtype=dtype, rng=0), make(0.01)
        trainer = Trainer(model, optimizer)
        trainer.fit(x, t, 2, 128, max_grad=1.0, rng=0, verbose=False)
        return trainer.loss_list, [p.tobytes() for p in model.params]

    alone = train(1)
    assert train(2) == alone and train(5) == alone


def test_many_callers_at_once():
    """One at a time has the pool; the others work alone: the same bits, and nobody waits for ever."""
    scratchnet.set_num_threads(4)
    expected = outputs_with(4, "affine_backward", BIG, np.float32)

    def call(_):
        case = make_case("affine_backward", BIG, np.float32)
        case.call(cpu)
        return [values.tobytes() for values in case.outputs().values()]

    with ThreadPoolExecutor(8) as pool:
        assert all(result == expected for result in pool.map(call, range(48)))


def test_models_of_one_s_own_are_verified_in_many_threads():
    """What one thread draws to verify that its model draws nothing is not taken for what another one draws."""
    x, t = np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2

    def train(seed):
        draw = np.random.default_rng(seed).standard_normal
        affine = [layers.Affine(draw((3, 4)), np.zeros(4)), layers.Affine(draw((4, 2)), np.zeros(2))]
        trainer = Trainer(
            Chain([affine[0], layers.Relu(), affine[1]], layers.SoftmaxWithLoss()), SGD(), compile=True
        )
        trainer.fit(x, t, 2, 10, rng=seed, verbose=False)
        return trainer.loss_list

    expected = [train(seed) for seed in range(60)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(train, range(60))) == expected


FORK = """
import os, numpy as np, scratchnet
from scratchnet.backends import cpu
scratchnet.set_num_threads(3)
x, W = np.random.rand(300, 500).astype("f"), np.random.rand(500, 400).astype("f")
def product():
    out = np.empty((300, 400), "f")
    cpu.affine_forward(x, W, None, out)
    return out.tobytes()
before = product()
for generation in range(20):
    child = os.fork()
    if child == 0:
        same = all(product() == before for _ in range(5))
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if product() == before else 3)
        os._exit(0 if same and os.waitpid(grandchild, 0)[1] == 0 else 4)
    assert product() == before
    assert os.waitpid(child, 0)[1] == 0
print("alive")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_children_compute_and_end():
    result = run(*PYTHON, "-W", "ignore::DeprecationWarning", "-c", FORK, check=False, timeout=120)
    assert result.stdout.strip() == "alive", result.stderr


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None, True])
def test_a_number_of_threads_is_a_whole_number(n):
    before = scratchnet.get_num_threads()
    with pytest.raises(ValueError, match="a positive integer"):
        scratchnet.set_num_threads(n)
    assert scratchnet.get_num_threads() == before


def threads_in(**environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"SCRATCHNET_NUM_THREADS": None, "OMP_NUM_THREADS": None} | environment
    code = "import scratchnet; print(scratchnet.get_num_threads())"
    return run(*PYTHON, "-c", code, check=False, **settings)


def test_the_environment_says_how_many():
    assert threads_in(SCRATCHNET_NUM_THREADS="3", OMP_NUM_THREADS="5").stdout.strip() == "3"
    assert threads_in(OMP_NUM_THREADS="5,2").stdout.strip() == "5"
    if hasattr(os, "sched_getaffinity"):
        assert threads_in().stdout.strip() == str(len(os.sched_getaffinity(0)))
    for wrong in ("0", "-2", "many"):
        result = threads_in(SCRATCHNET_NUM_THREADS=wrong)
        assert result.returncode == 1 and f"SCRATCHNET_NUM_THREADS is '{wrong}'" in result.stderr


ENVIRONMENTS = """
import os
import numpy  # once for all

def threads(**environment):
    \"\"\"What a child says that imports scratchnet under an environment: a number or an error.\"\"\"
    said, tell = os.pipe()
    if os.fork() == 0:
        os.environ.update(environment)
        try:
            import scratchnet.backends
            text = str(scratchnet.backends.get_num_threads())
        except ImportError as error:
            text = str(error)
        os.write(tell, text.encode())
        os._exit(0)
    os.close(tell)
    os.wait()
    with open(said) as reader:
        text = reader.read()
    return int(text) if text.isdecimal() else text

os.environ.pop("SCRATCHNET_NUM_THREADS", None)
os.environ.pop("OMP_NUM_THREADS", None)
default, nines = threads(), "9" * 5000
for wrong in ("1.5", "4,2", "\u00b2", nines):
    said = threads(SCRATCHNET_NUM_THREADS=wrong)
    assert str(said).startswith("SCRATCHNET_NUM_THREADS is '") and len(said) < 200, said
    assert "a positive integer" in said, said
for nothing in ("abc", "0", "-1", nines):
    assert threads(OMP_NUM_THREADS=nothing) == default, nothing
assert threads(SCRATCHNET_NUM_THREADS=" ", OMP_NUM_THREADS=" 7 , 2") == 7
assert 1 <= threads(SCRATCHNET_NUM_THREADS="9" * 18) <= 256
print("all")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_the_environment_counts_threads_or_says_what_it_is_not():
    """Our own variable is an error where it is no number; OpenMP's, which is not ours, is passed over."""
    assert fresh(ENVIRONMENTS, "-W", "ignore::DeprecationWarning").strip() == "all"


def test_helpers_sleep_when_there_is_nothing_to_do():
    """No spinning without bound: an idle process uses no processor time."""
    code = (
        "import numpy as np, scratchnet, time; from scratchnet.backends import cpu; scratchnet.set_num_threads(4);"
        "x = np.ones((300, 500), 'f'); W = np.ones((500, 400), 'f'); out = np.empty((300, 400), 'f');"
        "cpu.affine_forward(x, W, None, out); time.sleep(0.2);"
        "start = time.process_time(); time.sleep(1.0); print(time.process_time() - start)"
    )
    assert float(fresh(code)) < 0.2


def test_lists_of_parameters_may_change_while_they_are_updated():
    """The arrays of a call live until it ends, whoever takes them out of the lists meanwhile."""
    n = 200_000  # large enough for the kernel to run without the GIL
    params, grads = [np.ones(n) for _ in range(4)], [np.ones(n) for _ in range(4)]
    optimizers = [SGD(0.5), Adam(0.5)]
    for optimizer in optimizers:
        optimizer.update(params, grads)  # makes the states; the next ones go straight to C
    done = threading.Event()

    def swap():
        while not done.is_set():
            for i in range(4):
                params[i], grads[i] = np.ones(n), np.ones(n)

    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap)
        try:
            for _ in range(30):
                for optimizer in optimizers:
                    optimizer.update(params, grads)
        finally:
            done.set()
        swapping.result()
    assert all(np.isfinite(p).all() for p in params)


def test_many_threads_with_layers_of_their_own_share_weights_and_data():
    rng = np.random.default_rng(0)
    W, b, x = rng.standard_normal((300, 200)), rng.standard_normal(200), rng.standard_normal((50, 300))
    t = rng.integers(0, 200, 50)

    def step(_):
        affine, sigmoid, loss = layers.Affine(W, b), layers.Sigmoid(), layers.SoftmaxWithLoss()
        value = loss.forward(sigmoid.forward(affine.forward(x)), t)
        dx = affine.backward(sigmoid.backward(loss.backward()))
        return value, dx.tobytes(), [grad.tobytes() for grad in affine.grads]

    expected = step(0)
    with ThreadPoolExecutor(8) as pool:
        assert all(result == expected for result in pool.map(step, range(40)))


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_a_python_without_gil_stays_without():
    code = "import sys, scratchnet; print(sys._is_gil_enabled())"
    assert fresh(code, "-W", "error").strip() == "False"
