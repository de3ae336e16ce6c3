# Sequences to sequences in the manner of book 2, chapters 7 and 8: sums, as text.
import sys

sys.path.append("..")
import numpy as np
from common.base_model import BaseModel
from common.layers import Softmax
from common.optimizer import Adam
from common.time_layers import *
from common.trainer import Trainer
from common.util import eval_seq2seq
from dataset import sequence


def randn(*shape):
    return (np.random.randn(*shape) / np.sqrt(shape[0])).astype("f")


def lstm(D, H, stateful):
    return TimeLSTM(randn(D, 4 * H), randn(H, 4 * H), np.zeros(4 * H).astype("f"), stateful=stateful)


class Layers:
    def collect(self, *layers):
        self.params, self.grads = [], []
        for layer in layers:
            self.params += layer.params
            self.grads += layer.grads


class Encoder(Layers):
    def __init__(self, V, D, H):
        self.embed = TimeEmbedding((np.random.randn(V, D) / 100).astype("f"))
        self.lstm = lstm(D, H, stateful=False)
        self.collect(self.embed, self.lstm)

    def forward(self, xs):
        self.hs = self.lstm.forward(self.embed.forward(xs))
        return self.hs[:, -1, :]

    def backward(self, dh):
        dhs = np.zeros_like(self.hs)
        dhs[:, -1, :] = dh
        return self.embed.backward(self.lstm.backward(dhs))


class Decoder(Layers):
    def __init__(self, V, D, H):
        self.embed = TimeEmbedding((np.random.randn(V, D) / 100).astype("f"))
        self.lstm = lstm(D, H, stateful=True)
        self.affine = TimeAffine(randn(H, V), np.zeros(V).astype("f"))
        self.collect(self.embed, self.lstm, self.affine)

    def forward(self, xs, h):
        self.lstm.set_state(h)
        return self.affine.forward(self.lstm.forward(self.embed.forward(xs)))

    def backward(self, dscore):
        self.embed.backward(self.lstm.backward(self.affine.backward(dscore)))
        return self.lstm.dh

    def generate(self, h, start_id, sample_size):
        sampled, sample_id = [], start_id
        self.lstm.set_state(h)
        for _ in range(sample_size):
            x = np.array(sample_id).reshape((1, 1))
            score = self.affine.forward(self.lstm.forward(self.embed.forward(x)))
            sample_id = np.argmax(score.flatten())
            sampled.append(int(sample_id))
        return sampled


class Seq2seq(BaseModel):
    def __init__(self, vocab_size, wordvec_size, hidden_size):
        sizes = vocab_size, wordvec_size, hidden_size
        self.encoder, self.decoder = self.make_encoder(*sizes), self.make_decoder(*sizes)
        self.softmax = TimeSoftmaxWithLoss()
        self.params = self.encoder.params + self.decoder.params
        self.grads = self.encoder.grads + self.decoder.grads

    make_encoder, make_decoder = Encoder, Decoder

    def forward(self, xs, ts):
        score = self.decoder.forward(ts[:, :-1], self.encoder.forward(xs))
        return self.softmax.forward(score, ts[:, 1:])

    def backward(self, dout=1):
        return self.encoder.backward(self.decoder.backward(self.softmax.backward(dout)))

    def generate(self, xs, start_id, sample_size):
        return self.decoder.generate(self.encoder.forward(xs), start_id, sample_size)


# The decoder's layers all see what the encoder has understood
class PeekyDecoder(Decoder):
    def __init__(self, V, D, H):
        self.embed = TimeEmbedding((np.random.randn(V, D) / 100).astype("f"))
        self.lstm = lstm(H + D, H, stateful=True)
        self.affine = TimeAffine(randn(H + H, V), np.zeros(V).astype("f"))
        self.collect(self.embed, self.lstm, self.affine)

    def beside(self, h, xs):
        return np.concatenate((np.repeat(h, xs.shape[1], axis=0).reshape(len(h), -1, h.shape[1]), xs), axis=2)

    def forward(self, xs, h):
        self.H = h.shape[1]
        self.lstm.set_state(h)
        out = self.lstm.forward(self.beside(h, self.embed.forward(xs)))
        return self.affine.forward(self.beside(h, out))

    def backward(self, dscore):
        dout = self.affine.backward(dscore)
        dhs, dout = dout[:, :, : self.H], dout[:, :, self.H :]
        dout = self.lstm.backward(dout)
        dhs = dhs + dout[:, :, : self.H]
        self.embed.backward(dout[:, :, self.H :])
        return self.lstm.dh + np.sum(dhs, axis=1)

    def generate(self, h, start_id, sample_size):
        sampled, char_id = [], start_id
        self.lstm.set_state(h)
        for _ in range(sample_size):
            out = self.embed.forward(np.array([char_id]).reshape((1, 1)))
            out = self.lstm.forward(self.beside(h, out))
            char_id = np.argmax(self.affine.forward(self.beside(h, out)).flatten())
            sampled.append(char_id)
        return sampled


class PeekySeq2seq(Seq2seq):
    make_decoder = PeekyDecoder


# Attention: for each step of the answer, a mean of the encoder's states with weights of its own
class WeightSum:
    params, grads = [], []

    def forward(self, hs, a):
        self.cache = hs, a
        return np.sum(hs * a[:, :, np.newaxis], axis=1)

    def backward(self, dc):
        hs, a = self.cache
        return dc[:, np.newaxis] * a[:, :, np.newaxis], np.sum(dc[:, np.newaxis] * hs, axis=2)


class AttentionWeight:
    params, grads = [], []

    def __init__(self):
        self.softmax = Softmax()

    def forward(self, hs, h):
        self.cache = hs, h
        return self.softmax.forward(np.sum(hs * h[:, np.newaxis], axis=2))

    def backward(self, da):
        hs, h = self.cache
        ds = self.softmax.backward(da)[:, :, np.newaxis]
        return ds * h[:, np.newaxis], np.sum(ds * hs, axis=1)


class TimeAttention:
    params, grads = [], []

    def forward(self, hs_enc, hs_dec):
        out = np.empty_like(hs_dec)
        self.layers, self.attention_weights = [], []
        for t in range(hs_dec.shape[1]):
            weight, total = AttentionWeight(), WeightSum()
            a = weight.forward(hs_enc, hs_dec[:, t, :])
            out[:, t, :] = total.forward(hs_enc, a)
            self.layers.append((weight, total))
            self.attention_weights.append(a)
        return out

    def backward(self, dout):
        dhs_enc, dhs_dec = 0, np.empty_like(dout)
        for t, (weight, total) in enumerate(self.layers):
            first, da = total.backward(dout[:, t, :])
            second, dhs_dec[:, t, :] = weight.backward(da)
            dhs_enc = dhs_enc + first + second
        return dhs_enc, dhs_dec


class AttentionEncoder(Encoder):
    def forward(self, xs):
        return self.lstm.forward(self.embed.forward(xs))

    def backward(self, dhs):
        return self.embed.backward(self.lstm.backward(dhs))


class AttentionDecoder(Decoder):
    def __init__(self, V, D, H):
        self.embed = TimeEmbedding((np.random.randn(V, D) / 100).astype("f"))
        self.lstm = lstm(D, H, stateful=True)
        self.attention = TimeAttention()
        self.affine = TimeAffine(randn(2 * H, V), np.zeros(V).astype("f"))
        self.collect(self.embed, self.lstm, self.attention, self.affine)

    def forward(self, xs, enc_hs):
        self.lstm.set_state(enc_hs[:, -1])
        return self.score(xs, enc_hs)

    def score(self, xs, enc_hs):
        dec_hs = self.lstm.forward(self.embed.forward(xs))
        return self.affine.forward(np.concatenate((self.attention.forward(enc_hs, dec_hs), dec_hs), axis=2))

    def backward(self, dscore):
        dout = self.affine.backward(dscore)
        H = dout.shape[2] // 2
        denc_hs, ddec_hs = self.attention.backward(dout[:, :, :H])
        self.embed.backward(self.lstm.backward(dout[:, :, H:] + ddec_hs))
        denc_hs[:, -1] += self.lstm.dh
        return denc_hs

    def generate(self, enc_hs, start_id, sample_size):
        sampled, sample_id = [], start_id
        self.lstm.set_state(enc_hs[:, -1])
        for _ in range(sample_size):
            score = self.score(np.array([sample_id]).reshape((1, 1)), enc_hs)
            sample_id = np.argmax(score.flatten())
            sampled.append(sample_id)
        return sampled


class AttentionSeq2seq(Seq2seq):
    make_encoder, make_decoder = AttentionEncoder, AttentionDecoder


if __name__ == "__main__":
    (x_train, t_train), (x_test, t_test) = sequence.load_data("addition.txt", seed=1984)
    char_to_id, id_to_char = sequence.get_vocab()
    print(x_train.shape, t_train.shape, len(char_to_id), "".join(id_to_char[c] for c in x_train[0]))
    for make, is_reverse in ((Seq2seq, False), (PeekySeq2seq, True), (AttentionSeq2seq, True)):
        x, x_val = (x_train[:, ::-1], x_test[:, ::-1]) if is_reverse else (x_train, x_test)
        model = make(len(char_to_id), 8, 16)
        trainer = Trainer(model, Adam(lr=0.01))
        for _ in range(2):
            trainer.fit(x, t_train, max_epoch=1, batch_size=30, max_grad=5.0)
            correct_num = 0
            for i in range(len(x_test)):
                question, correct = x_val[[i]], t_test[[i]]
                correct_num += eval_seq2seq(model, question, correct, id_to_char, i < 3, is_reverse)
            print(f"val acc {correct_num / len(x_test) * 100:.3f}%")
        print(trainer.loss_list)
        if make is AttentionSeq2seq:
            model.forward(x_val[:2], t_test[:2])
            print(np.array(model.decoder.attention.attention_weights)[:, 0].tolist())
