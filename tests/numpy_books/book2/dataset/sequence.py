"""Questions and answers from a file in the folder `dataset` of the current one, as numbers."""

import numpy as np

char_to_id = {}


def load_data(file_name="addition.txt", seed=1984):
    with open(f"dataset/{file_name}") as file:
        lines = file.read().splitlines()
    split = lines[0].index("_")
    for line in lines:
        for char in line:
            char_to_id.setdefault(char, len(char_to_id))
    ids = np.array([[char_to_id[char] for char in line] for line in lines])
    np.random.seed(seed)
    order = np.arange(len(ids))
    np.random.shuffle(order)
    x, t = ids[order, :split], ids[order, split:]
    cut = len(x) - len(x) // 10
    return (x[:cut], t[:cut]), (x[cut:], t[cut:])


def get_vocab():
    return char_to_id, {i: char for char, i in char_to_id.items()}
