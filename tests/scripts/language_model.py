# Recurrent language models in the manner of book 2, chapters 5 to 7, on a text of our own.
import sys

sys.path.append("..")
from common.base_model import BaseModel
from common.functions import softmax
from common.np import *
from common.optimizer import SGD
from common.time_layers import *
from common.trainer import RnnlmTrainer
from common.util import eval_perplexity
from dataset import ptb

corpus, word_to_id, id_to_word = ptb.load_data("train")
corpus_val, _, _ = ptb.load_data("valid")
vocab_size = len(word_to_id)
print(len(corpus), vocab_size, corpus.dtype)


# Chapter 5: a simple recurrent layer, and a loop of one's own
class SimpleRnnlm:
    def __init__(self, V, D, H):
        rn = np.random.randn
        self.layers = [
            TimeEmbedding((rn(V, D) / 100).astype("f")),
            TimeRNN((rn(D, H) / np.sqrt(D)).astype("f"), (rn(H, H) / np.sqrt(H)).astype("f"),
                    np.zeros(H).astype("f"), stateful=True),
            TimeAffine((rn(H, V) / np.sqrt(H)).astype("f"), np.zeros(V).astype("f")),
        ]  # fmt: skip
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, xs, ts):
        for layer in self.layers:
            xs = layer.forward(xs)
        return self.loss_layer.forward(xs, ts)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)

    def reset_state(self):
        self.layers[1].reset_state()


batch_size, time_size = 10, 5
xs, ts = corpus[:-1], corpus[1:]
offsets = [i * (len(xs) // batch_size) for i in range(batch_size)]
np.random.seed(1)
model, optimizer, time_idx = SimpleRnnlm(vocab_size, 12, 10), SGD(0.1), 0
for epoch in range(2):
    total_loss, steps = 0, len(xs) // (batch_size * time_size)
    for _ in range(steps):
        batch_x, batch_t = (
            np.empty((batch_size, time_size), dtype="i"),
            np.empty((batch_size, time_size), dtype="i"),
        )
        for t in range(time_size):
            for i, offset in enumerate(offsets):
                batch_x[i, t] = xs[(offset + time_idx) % len(xs)]
                batch_t[i, t] = ts[(offset + time_idx) % len(xs)]
            time_idx += 1
        total_loss += model.forward(batch_x, batch_t)
        model.backward()
        optimizer.update(model.params, model.grads)
    print("| epoch %d | perplexity %.2f" % (epoch + 1, np.exp(total_loss / steps)), total_loss / steps)


# Chapter 6: an LSTM, the trainer, files
class Rnnlm(BaseModel):
    def __init__(self, vocab_size, wordvec_size=12, hidden_size=12):
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn
        self.layers = [
            TimeEmbedding((rn(V, D) / 100).astype("f")),
            TimeLSTM((rn(D, 4 * H) / np.sqrt(D)).astype("f"), (rn(H, 4 * H) / np.sqrt(H)).astype("f"),
                     np.zeros(4 * H).astype("f"), stateful=True),
            TimeAffine((rn(H, V) / np.sqrt(H)).astype("f"), np.zeros(V).astype("f")),
        ]  # fmt: skip
        self.loss_layer = TimeSoftmaxWithLoss()
        self.lstm_layers = [self.layers[1]]
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, xs):
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def forward(self, xs, ts):
        return self.loss_layer.forward(self.predict(xs), ts)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def reset_state(self):
        for layer in self.lstm_layers:
            layer.reset_state()


np.random.seed(2)
model = Rnnlm(vocab_size)
trainer = RnnlmTrainer(model, SGD(5.0))
trainer.fit(xs, ts, max_epoch=3, batch_size=10, time_size=7, max_grad=0.25, eval_interval=4)
print(trainer.ppl_list, trainer.current_epoch)
model.reset_state()
print("test perplexity:", eval_perplexity(model, corpus_val, batch_size=3, time_size=6))
model.save_params()
again = Rnnlm(vocab_size)
again.load_params("Rnnlm.pkl")
print(again.params[0].dtype, eval_perplexity(again, corpus_val, 3, 6))


# Two LSTMs, dropout, and one matrix for the words that come and the words that go
class BetterRnnlm(BaseModel):
    def __init__(self, vocab_size, size=10, dropout_ratio=0.3):
        V, D = vocab_size, size
        rn = np.random.randn
        embed_W = (rn(V, D) / 100).astype("f")

        def lstm():
            Wx, Wh = ((rn(D, 4 * D) / np.sqrt(D)).astype("f") for _ in range(2))
            return TimeLSTM(Wx, Wh, np.zeros(4 * D).astype("f"), stateful=True)

        self.lstm_layers = [lstm(), lstm()]
        self.drop_layers = [TimeDropout(dropout_ratio) for _ in range(3)]
        first, second, third = self.drop_layers
        self.layers = [
            *(TimeEmbedding(embed_W), first, self.lstm_layers[0], second, self.lstm_layers[1], third),
            TimeAffine(embed_W.T, np.zeros(V).astype("f")),
        ]
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, xs, train_flg=False):
        for layer in self.drop_layers:
            layer.train_flg = train_flg
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def forward(self, xs, ts, train_flg=True):
        return self.loss_layer.forward(self.predict(xs, train_flg), ts)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout

    def reset_state(self):
        for layer in self.lstm_layers:
            layer.reset_state()

    # Chapter 7: a text of its own
    def generate(self, start_id, skip_ids=None, sample_size=25):
        word_ids, x = [start_id], start_id
        while len(word_ids) < sample_size:
            score = self.predict(np.array(x).reshape(1, 1))
            p = softmax(score.flatten())
            sampled = int(np.random.choice(len(p), p=p))
            if skip_ids is None or sampled not in skip_ids:
                x = sampled
                word_ids.append(x)
        return word_ids


np.random.seed(3)
model, lr, best_ppl = BetterRnnlm(vocab_size), 5.0, float("inf")
optimizer = SGD(lr)
trainer = RnnlmTrainer(model, optimizer)
for _ in range(3):
    trainer.fit(xs, ts, max_epoch=1, batch_size=10, time_size=7, max_grad=0.25)
    model.reset_state()
    ppl = eval_perplexity(model, corpus_val, 3, 6)
    print("valid perplexity: ", ppl)
    if best_ppl > ppl:
        best_ppl = ppl
        model.save_params()
    else:
        lr /= 4.0
        optimizer.lr = lr
    model.reset_state()
model.load_params()
words = model.generate(word_to_id["the"], [word_to_id["<eos>"]])
print(" ".join(id_to_word[i] for i in words))
print([model.layers[0].params[0] is model.params[0], np.shares_memory(model.params[0], model.params[-2])])
