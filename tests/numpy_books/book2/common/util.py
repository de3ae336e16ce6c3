"""Book 2's helpers for words."""

import os

import numpy as np

__all__ = [
    "analogy",
    "convert_one_hot",
    "cos_similarity",
    "create_co_matrix",
    "create_contexts_target",
    "eval_perplexity",
    "eval_seq2seq",
    "most_similar",
    "ppmi",
    "preprocess",
    "to_cpu",
]


def to_cpu(x):
    return x


def preprocess(text):
    words = text.lower().replace(".", " .").split(" ")
    id_to_word = dict(enumerate(dict.fromkeys(words)))
    word_to_id = {word: i for i, word in id_to_word.items()}
    return np.array([word_to_id[word] for word in words]), word_to_id, id_to_word


def create_co_matrix(corpus, vocab_size, window_size=1):
    C = np.zeros((vocab_size, vocab_size), np.int32)
    for i, word in enumerate(corpus):
        for distance in range(1, window_size + 1):
            for j in (i - distance, i + distance):
                if 0 <= j < len(corpus):
                    C[word, corpus[j]] += 1
    return C


def ppmi(C, eps=1e-8):
    M, total, sums = np.zeros_like(C, dtype=np.float32), np.sum(C), np.sum(C, axis=0)
    for i in range(C.shape[0]):
        for j in range(C.shape[1]):
            M[i, j] = max(0, np.log2(C[i, j] * total / (sums[j] * sums[i]) + eps))
    return M


def convert_one_hot(corpus, vocab_size):
    return np.eye(vocab_size, dtype=np.int32)[corpus]


def create_contexts_target(corpus, window_size=1):
    middle = range(window_size, len(corpus) - window_size)
    contexts = [[corpus[i + d] for d in range(-window_size, window_size + 1) if d] for i in middle]
    return np.array(contexts), np.array([corpus[i] for i in middle])


def cos_similarity(x, y, eps=1e-8):
    return np.dot(x / (np.sqrt(np.sum(x**2)) + eps), y / (np.sqrt(np.sum(y**2)) + eps))


def show(scores, id_to_word, without, top):
    best = [i for i in np.argsort(-np.array(scores)) if id_to_word[i] not in without]
    for i in best[:top]:
        print(f" {id_to_word[i]}: {scores[i]}")


def most_similar(query, word_to_id, id_to_word, word_matrix, top=5):
    if query not in word_to_id:
        print(f"{query} is not found")
        return
    print("\n[query] " + query)
    show([cos_similarity(row, word_matrix[word_to_id[query]]) for row in word_matrix], id_to_word, [query], top)


def analogy(a, b, c, word_to_id, id_to_word, word_matrix, top=5, answer=None):
    print(f"\n[analogy] {a}:{b} = {c}:?")
    first, second, third = (word_matrix[word_to_id[word]] for word in (a, b, c))
    wanted = second - first + third
    scores = np.dot(word_matrix, wanted / np.sqrt(np.sum(wanted**2)))
    if answer is not None:
        print(f"==>{answer}:{scores[word_to_id[answer]]}")
    show(scores, id_to_word, [a, b, c], top)


def eval_perplexity(model, corpus, batch_size=10, time_size=35):
    print("evaluating perplexity ...")
    length = len(corpus) - 1
    steps, total = length // (batch_size * time_size), 0
    for step in range(steps):
        xs, ts = np.zeros((batch_size, time_size), int), np.zeros((batch_size, time_size), int)
        for i in range(batch_size):
            begin = i * (length // batch_size) + step * time_size
            for t in range(time_size):
                xs[i, t], ts[i, t] = corpus[(begin + t) % len(corpus)], corpus[(begin + t + 1) % len(corpus)]
        try:
            total += model.forward(xs, ts, train_flg=False)
        except TypeError:
            total += model.forward(xs, ts)
        print(f"\r{step} / {steps}", end="")
    print("")
    return np.exp(total / steps)


def eval_seq2seq(model, question, correct, id_to_char, verbose=False, is_reverse=False):
    right = correct.flatten()
    said = model.generate(question, right[0], len(right) - 1)
    texts = question.flatten(), right[1:], said
    asked, right, said = ("".join(id_to_char[int(c)] for c in ids) for ids in texts)
    if verbose:
        print("Q", asked[::-1] if is_reverse else asked)
        print("T", right)
        marks = ("X", "O") if os.name == "nt" else ("\033[91m☒\033[0m", "\033[92m☑\033[0m")
        print(marks[said == right] + " " + said)
        print("---")
    return 1 if said == right else 0
