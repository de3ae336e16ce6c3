"""MNIST under the names of book 1; the files and their place are those of `scratchnet.dataset.mnist`.

Nothing is written beside the package, so there is no mnist.pkl: the files themselves are read at every call.

Source: *Deep Learning from Scratch* 1, ch. 3.6.
"""

from ...dataset.mnist import load_mnist

__all__ = ["download_mnist", "img_dim", "img_size", "init_mnist", "load_mnist", "test_num", "train_num"]

train_num = 60000
test_num = 10000
img_dim = (1, 28, 28)
img_size = 784


def download_mnist() -> None:
    """Have the four files at hand: downloaded into the user's cache where no folder is named for them.

    Raises
    ------
    OSError, ImportError, ValueError
        As `load_mnist`.
    """
    load_mnist(normalize=False)


def init_mnist() -> None:
    """Do what `download_mnist` does; there is nothing to convert."""
    download_mnist()
