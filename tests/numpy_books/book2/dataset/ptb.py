"""The text of the three files in the folder `dataset` of the current one, as numbers."""

import numpy as np


def words(part):
    with open(f"dataset/ptb.{part}.txt") as file:
        return file.read().replace("\n", "<eos>").strip().split()


def load_data(data_type="train"):
    id_to_word = dict(enumerate(dict.fromkeys(words("train"))))
    word_to_id = {word: i for i, word in id_to_word.items()}
    return np.array([word_to_id[word] for word in words(data_type)]), word_to_id, id_to_word
