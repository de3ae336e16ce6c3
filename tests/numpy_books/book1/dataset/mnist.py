"""MNIST's four files, gzipped or not, in the folder `dataset` of the current one."""

import gzip
from pathlib import Path

import numpy as np


def read(name, header):
    path = Path("dataset", f"{name}-ubyte")
    data = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=header)


def load_mnist(normalize=True, flatten=True, one_hot_label=False):
    data = []
    for part in ("train", "t10k"):
        x, t = read(f"{part}-images-idx3", 16).reshape(-1, 784), read(f"{part}-labels-idx1", 8)
        x = x.astype(np.float32) / 255.0 if normalize else x
        x = x if flatten else x.reshape(-1, 1, 28, 28)
        data.append((x, np.eye(10)[t] if one_hot_label else t))
    return tuple(data)
