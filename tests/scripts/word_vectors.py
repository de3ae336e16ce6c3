# Word vectors in the manner of book 2, chapters 2 to 4, on a text of our own.
import sys

sys.path.append("..")
import pickle
from collections import Counter

from common import config

config.GPU = False
from common.layers import Embedding, MatMul, SigmoidWithLoss, SoftmaxWithLoss
from common.np import *
from common.optimizer import Adam
from common.trainer import Trainer
from common.util import (
    analogy,
    convert_one_hot,
    cos_similarity,
    create_co_matrix,
    create_contexts_target,
    most_similar,
    ppmi,
    preprocess,
    to_cpu,
)

text = (
    "the king rules the land and the queen rules the land . a man and a woman work in the town . "
    "the king is a man and the queen is a woman . the man likes bread and the woman likes wine ."
)
corpus, word_to_id, id_to_word = preprocess(text)
vocab_size = len(word_to_id)
print(corpus, vocab_size)

# Counting
C = create_co_matrix(corpus, vocab_size, window_size=2)
W = ppmi(C)
print(C.sum(), W.dtype, cos_similarity(C[word_to_id["king"]], C[word_to_id["queen"]]))
U, S, V = np.linalg.svd(W)
most_similar("king", word_to_id, id_to_word, W, top=3)
most_similar("emperor", word_to_id, id_to_word, W)
print(S[:4].tolist())


# Guessing a word from its neighbours, and the neighbours from it
class SimpleCBOW:
    def __init__(self, vocab_size, hidden_size):
        W_in = 0.01 * np.random.randn(vocab_size, hidden_size).astype("f")
        W_out = 0.01 * np.random.randn(hidden_size, vocab_size).astype("f")
        self.in_layers = [MatMul(W_in), MatMul(W_in)]
        self.out_layer = MatMul(W_out)
        self.loss_layer = SoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in (*self.in_layers, self.out_layer):
            self.params += layer.params
            self.grads += layer.grads
        self.word_vecs = W_in

    def forward(self, contexts, target):
        h = sum(layer.forward(contexts[:, i]) for i, layer in enumerate(self.in_layers)) * 0.5
        return self.loss_layer.forward(self.out_layer.forward(h), target)

    def backward(self, dout=1):
        dh = self.out_layer.backward(self.loss_layer.backward(dout)) * 0.5
        for layer in reversed(self.in_layers):
            layer.backward(dh)


class SimpleSkipGram:
    def __init__(self, vocab_size, hidden_size):
        self.in_layer = MatMul(0.01 * np.random.randn(vocab_size, hidden_size).astype("f"))
        self.out_layer = MatMul(0.01 * np.random.randn(hidden_size, vocab_size).astype("f"))
        self.loss_layers = [SoftmaxWithLoss(), SoftmaxWithLoss()]
        self.params = self.in_layer.params + self.out_layer.params
        self.grads = self.in_layer.grads + self.out_layer.grads
        self.word_vecs = self.in_layer.params[0]

    def forward(self, contexts, target):
        s = self.out_layer.forward(self.in_layer.forward(target))
        return sum(layer.forward(s, contexts[:, i]) for i, layer in enumerate(self.loss_layers))

    def backward(self, dout=1):
        ds = sum(layer.backward(dout) for layer in self.loss_layers)
        self.in_layer.backward(self.out_layer.backward(ds))


contexts, target = create_contexts_target(corpus, window_size=1)
one_hot = convert_one_hot(contexts, vocab_size), convert_one_hot(target, vocab_size)
print(one_hot[0].shape, one_hot[1].shape)
for make in (SimpleCBOW, SimpleSkipGram):
    np.random.seed(5)
    model = make(vocab_size, 5)
    trainer = Trainer(model, Adam(lr=0.01))
    trainer.fit(*one_hot, max_epoch=20, batch_size=3)
    print(trainer.loss_list)
    for word_id in range(3):
        print(id_to_word[word_id], model.word_vecs[word_id].tolist())


# The same with a choice of rows, and with some wrong words instead of all
class EmbeddingDot:
    def __init__(self, W):
        self.embed = Embedding(W)
        self.params, self.grads = self.embed.params, self.embed.grads

    def forward(self, h, idx):
        self.h, self.target_W = h, self.embed.forward(idx)
        return np.sum(self.target_W * h, axis=1)

    def backward(self, dout):
        dout = dout.reshape(-1, 1)
        self.embed.backward(dout * self.h)
        return dout * self.target_W


class UnigramSampler:
    def __init__(self, corpus, power, sample_size):
        counts = Counter(corpus.tolist())
        self.p = np.array([counts[word] for word in range(len(counts))]) ** power
        self.sample_size = sample_size

    def get_negative_sample(self, target):
        sample = np.zeros((len(target), self.sample_size), dtype=np.int32)
        for i, word in enumerate(target):
            p = self.p.copy()
            p[word] = 0
            sample[i] = np.random.choice(len(p), size=self.sample_size, replace=False, p=p / p.sum())
        return sample


class NegativeSamplingLoss:
    def __init__(self, W, corpus, power=0.75, sample_size=3):
        self.sampler = UnigramSampler(corpus, power, sample_size)
        self.loss_layers = [SigmoidWithLoss() for _ in range(sample_size + 1)]
        self.dot_layers = [EmbeddingDot(W) for _ in range(sample_size + 1)]
        self.params = [layer.params[0] for layer in self.dot_layers]
        self.grads = [layer.grads[0] for layer in self.dot_layers]

    def forward(self, h, target):
        words = [target, *self.sampler.get_negative_sample(target).T]
        loss = 0
        for i, (dot, loss_layer) in enumerate(zip(self.dot_layers, self.loss_layers, strict=True)):
            label = (np.ones if i == 0 else np.zeros)(len(target), dtype=np.int32)
            loss += loss_layer.forward(dot.forward(h, words[i]), label)
        return loss

    def backward(self, dout=1):
        dh = 0
        for dot, loss_layer in zip(self.dot_layers, self.loss_layers, strict=True):
            dh += dot.backward(loss_layer.backward(dout))
        return dh


class CBOW:
    def __init__(self, vocab_size, hidden_size, window_size, corpus):
        W_in = 0.01 * np.random.randn(vocab_size, hidden_size).astype("f")
        W_out = 0.01 * np.random.randn(vocab_size, hidden_size).astype("f")
        self.in_layers = [Embedding(W_in) for _ in range(2 * window_size)]
        self.ns_loss = NegativeSamplingLoss(W_out, corpus)
        self.params, self.grads = [], []
        for layer in (*self.in_layers, self.ns_loss):
            self.params += layer.params
            self.grads += layer.grads
        self.word_vecs = W_in

    def forward(self, contexts, target):
        h = 0
        for i, layer in enumerate(self.in_layers):
            h += layer.forward(contexts[:, i])
        h *= 1 / len(self.in_layers)
        return self.ns_loss.forward(h, target)

    def backward(self, dout=1):
        dout = self.ns_loss.backward(dout)
        dout *= 1 / len(self.in_layers)
        for layer in self.in_layers:
            layer.backward(dout)


contexts, target = create_contexts_target(corpus, window_size=2)
np.random.seed(6)
model = CBOW(vocab_size, 6, 2, corpus)
trainer = Trainer(model, Adam(lr=0.02))
trainer.fit(contexts, target, max_epoch=30, batch_size=8, eval_interval=3)
trainer.plot()
print(trainer.loss_list)
with open("vectors.pkl", "wb") as file:
    pickle.dump({"word_vecs": to_cpu(model.word_vecs).astype(np.float16), "word_to_id": word_to_id}, file, -1)
with open("vectors.pkl", "rb") as file:
    word_vecs = pickle.load(file)["word_vecs"].astype(np.float64)
most_similar("king", word_to_id, id_to_word, word_vecs, top=4)
analogy("king", "man", "queen", word_to_id, id_to_word, word_vecs, top=2, answer="woman")
