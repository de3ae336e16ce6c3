"""The Penn Treebank text of book 2, chapter 2 and later, as word ids.

scratchnet does not include the text, which is licensed by the Linguistic Data Consortium (LDC99T42): using it
requires a licence, and it must not be redistributed. Your own copy is read in place: in the folder of
``SCRATCHNET_DATA``, of the script, or in a folder ``dataset`` there or next to it. Only if there is none, it is
downloaded into your cache from the address that the book uses, by pooch, with certificates verified.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._files import cache_folder, find

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["key_file", "load_data", "load_vocab", "save_file", "url_base", "vocab_file"]

url_base = "https://raw.githubusercontent.com/tomsercu/lstm/master/data/"
key_file = {"train": "ptb.train.txt", "test": "ptb.test.txt", "valid": "ptb.valid.txt"}
# Files that the book's module caches in its folder. Here the text is read every time.
save_file = {"train": "ptb.train.npy", "test": "ptb.test.npy", "valid": "ptb.valid.npy"}
vocab_file = "ptb.vocab.pkl"

_BY_HAND = (
    "Put ptb.train.txt, ptb.valid.txt and ptb.test.txt, if you have a right to them (LDC99T42), into a folder and "
    "set SCRATCHNET_DATA to it, or put them next to the script"
)


def __getattr__(name: str) -> Any:
    if name == "dataset_dir":  # where a download is stored; the book's folder also contains the module
        return str(cache_folder("ptb"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_vocab() -> tuple[dict[str, int], dict[int, str]]:
    """Return the vocabulary of the training text: word to id, by first appearance, and id to word.

    Raises
    ------
    ImportError
        The text must be downloaded, and pooch, which does this, is not installed.
    OSError
        The download failed.

    Notes
    -----
    Source: book 2, ch. 2.4.4.

    Examples
    --------
    >>> word_to_id, id_to_word = load_vocab()  # doctest: +SKIP
    """
    word_to_id: dict[str, int] = {}
    for word in _words("train"):
        word_to_id.setdefault(word, len(word_to_id))
    return word_to_id, {i: word for word, i in word_to_id.items()}


def load_data(data_type: str = "train") -> tuple[NDArray[np.int64], dict[str, int], dict[int, str]]:
    """Load a part of the text as word ids.

    Parameters
    ----------
    data_type : str
        "train", "valid" (or "val") or "test".

    Returns
    -------
    corpus : ndarray of int64
        The ids of the words in order; "<eos>" ends each line.
    word_to_id, id_to_word : dict
        The vocabulary of the training text, for every part.

    Raises
    ------
    ValueError
        The part is unknown, or has a word that is not in the training text.
    ImportError, OSError
        As `load_vocab`.

    Examples
    --------
    >>> corpus, word_to_id, id_to_word = load_data("train")  # doctest: +SKIP
    """
    part = "valid" if data_type == "val" else data_type
    if part not in key_file:
        raise ValueError(f"ptb.load_data: data_type must be 'train', 'valid' or 'test', got {data_type!r}")
    word_to_id, id_to_word = load_vocab()
    words = _words(part)
    try:
        corpus = np.array([word_to_id[word] for word in words], np.int64)
    except KeyError as error:
        raise ValueError(
            f"{key_file[part]} has the word {error}, which {key_file['train']} does not have; "
            "they must be parts of one text"
        ) from None
    return corpus, word_to_id, id_to_word


def _words(part: str) -> list[str]:
    path = find(key_file[part]) or _download(key_file[part])
    return path.read_text("utf-8").replace("\n", "<eos>").strip().split()


def _download(name: str) -> Path:
    folder = cache_folder("ptb")
    if (folder / name).is_file():
        return folder / name
    try:
        import pooch  # type: ignore[import, unused-ignore]
    except ImportError as error:
        raise ImportError(
            f"{name} was not found, and downloading it requires pooch, which is not installed: "
            f'pip install "scratchnet[data]". {_BY_HAND}'
        ) from error
    print(f"{name} is licensed by the Linguistic Data Consortium (LDC99T42); use it if you have a right to it",
          file=sys.stderr)  # fmt: skip
    try:
        return Path(pooch.retrieve(url_base + name, None, name, folder))
    except (OSError, ValueError) as error:
        raise OSError(f"{url_base}{name} could not be downloaded: {error}. {_BY_HAND}") from error
