"""Book 2's two trainers in plain NumPy, in our own words."""

import time

import numpy as np
from books2_numpy import batches, clip_grads


def remove_duplicate(params, grads):
    kept_params, kept_grads = [], []
    for p, g in zip(params, grads, strict=True):
        for i, kept in enumerate(kept_params):
            if kept is p:
                kept_grads[i] += g
                break
            if kept.ndim == p.ndim == 2 and kept.T.shape == p.shape and np.all(p == kept.T):
                kept_grads[i] += g.T
                break
        else:
            kept_params.append(p)
            kept_grads.append(g)
    return kept_params, kept_grads


class Lines:
    """Losses since the line before; a line at every so many steps."""

    def __init__(self, steps, eval_interval, name):
        self.steps, self.eval_interval, self.name = steps, eval_interval, name
        self.window, self.start = [], time.time()

    def note(self, epoch, step, loss, number):
        self.window.append(loss)
        if step % self.eval_interval:
            return None
        value, self.window = number(np.mean(self.window)), []
        seconds = time.time() - self.start
        line = f"| epoch {epoch} |  iter {step + 1} / {self.steps} | time {int(seconds)}[s] |"
        print(f"{line} {self.name} {value:.2f}")
        return value


class Trainer:
    name = "loss"

    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.loss_list, self.current_epoch = model, optimizer, [], 0

    def step(self, x, t, max_grad):
        loss = self.model.forward(x, t)
        self.model.backward()
        params, grads = remove_duplicate(self.model.params, self.model.grads)
        if max_grad is not None:
            clip_grads(grads, max_grad)
        self.optimizer.update(params, grads)
        return float(loss)

    def fit(self, x, t, max_epoch=10, batch_size=32, max_grad=None, eval_interval=20):
        self.eval_interval = eval_interval
        lines = Lines(len(x) // batch_size, eval_interval, self.name)
        for _ in range(max_epoch):
            order = np.random.permutation(np.arange(len(x)))
            x, t = x[order], t[order]
            for i in range(lines.steps):
                batch = slice(i * batch_size, (i + 1) * batch_size)
                loss = self.step(x[batch], t[batch], max_grad)
                value = lines.note(self.current_epoch + 1, i, loss, float)
                if value is not None:
                    self.loss_list.append(value)
            self.current_epoch += 1

    def plot(self, ylim=None):
        import matplotlib.pyplot as plt

        plt.plot(range(len(self.loss_list)), self.loss_list, label="train")
        plt.ylim(ylim)
        plt.show()


class RnnlmTrainer(Trainer):
    name = "perplexity"

    def fit(self, xs, ts, max_epoch=10, batch_size=20, time_size=35, max_grad=None, eval_interval=20):
        stream = batches(np.append(xs, ts[-1]), batch_size, time_size)
        lines = Lines(len(xs) // (batch_size * time_size), eval_interval, self.name)
        self.ppl_list = []
        for _ in range(max_epoch):
            for i in range(lines.steps):
                loss = self.step(*next(stream), max_grad)
                value = lines.note(self.current_epoch + 1, i, loss, np.exp)
                if value is not None:
                    self.ppl_list.append(float(value))
            self.current_epoch += 1
