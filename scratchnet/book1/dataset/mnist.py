"""MNIST under the names of book 1; the files and their place are those of `scratchnet.dataset.mnist`.

Nothing is written next to the package, so there is no mnist.pkl: the files themselves are read at every call.

Source: *Deep Learning from Scratch* 1, ch. 3.6.
"""

from typing import Any

from ...dataset._files import cache_folder
from ...dataset.mnist import _MIRRORS, load_mnist

__all__ = [
    "download_mnist",
    "img_dim",
    "img_size",
    "init_mnist",
    "key_file",
    "load_mnist",
    "test_num",
    "train_num",
    "url_base",
]

url_base = _MIRRORS[0]
key_file = {
    "train_img": "train-images-idx3-ubyte.gz",
    "train_label": "train-labels-idx1-ubyte.gz",
    "test_img": "t10k-images-idx3-ubyte.gz",
    "test_label": "t10k-labels-idx1-ubyte.gz",
}
train_num = 60000
test_num = 10000
img_dim = (1, 28, 28)
img_size = 784


def __getattr__(name: str) -> Any:
    if name == "dataset_dir":  # where a download is stored; the book's folder also contains the module
        return str(cache_folder("mnist"))
    if name == "save_file":  # the book's; not written here
        return str(cache_folder("mnist") / "mnist.pkl")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def download_mnist() -> None:
    """Make sure that the four files are available: download them into the user's cache if no folder is named.

    Raises
    ------
    OSError, ImportError, ValueError
        As `load_mnist`.
    """
    load_mnist(normalize=False)


def init_mnist() -> None:
    """Do what `download_mnist` does; there is nothing to convert."""
    download_mnist()
