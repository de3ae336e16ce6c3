"""Book 2's two trainers."""

import time

import numpy as np


def remove_duplicate(params, grads):
    """Merge parameters that are one array, or one the transpose of another, and add up their gradients."""
    params, grads = params[:], grads[:]
    i = 0
    while i < len(params):
        j = i + 1
        while j < len(params):
            a, b = params[i], params[j]
            if a is b:
                grads[i] += grads[j]
            elif a.ndim == 2 and b.ndim == 2 and a.T.shape == b.shape and np.all(b == a.T):
                grads[i] += grads[j].T
            else:
                j += 1
                continue
            del params[j], grads[j]
        i += 1
    return params, grads


def clip_grads(grads, max_norm):
    norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in grads))
    for g in grads:
        g *= min(1, max_norm / (norm + 1e-6))


def train_step(model, optimizer, x, t, max_grad):
    loss = float(model.forward(x, t))
    model.backward()
    params, grads = remove_duplicate(model.params, model.grads)
    if max_grad is not None:
        clip_grads(grads, max_grad)
    optimizer.update(params, grads)
    return loss


class Trainer:
    """The book's, and for tests and benchmarks: `epoch_losses`, each epoch's mean loss, and `verbose`."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer
        self.loss_list, self.epoch_losses, self.current_epoch = [], [], 0

    def fit(self, x, t, max_epoch=10, batch_size=32, max_grad=None, eval_interval=20, verbose=True):
        self.eval_interval = eval_interval
        steps = len(x) // batch_size
        total, count, start = 0, 0, time.time()
        for _ in range(max_epoch):
            order = np.random.permutation(np.arange(len(x)))
            x, t = x[order], t[order]
            epoch = 0.0
            for step in range(steps):
                batch = slice(step * batch_size, (step + 1) * batch_size)
                loss = train_step(self.model, self.optimizer, x[batch], t[batch], max_grad)
                total += loss
                count += 1
                epoch += loss
                if step % eval_interval == 0:
                    self.loss_list.append(total / count)
                    if verbose:
                        log(self.current_epoch, step, steps, start, "loss", self.loss_list[-1])
                    total, count = 0, 0
            self.epoch_losses.append(epoch / max(steps, 1))
            self.current_epoch += 1

    def plot(self, ylim=None):
        import matplotlib.pyplot as plt

        plt.plot(range(len(self.loss_list)), self.loss_list, label="train")
        plt.ylim(ylim)
        plt.show()


class RnnlmTrainer:
    def __init__(self, model, optimizer):
        self.model, self.optimizer, self.ppl_list, self.current_epoch = model, optimizer, [], 0

    def fit(self, xs, ts, max_epoch=10, batch_size=20, time_size=35, max_grad=None, eval_interval=20,
            verbose=True):  # fmt: skip
        stream = batches(np.append(xs, ts[-1]), batch_size, time_size)
        steps = len(xs) // (batch_size * time_size)
        total, count, start = 0, 0, time.time()
        self.ppl_list = []
        for _ in range(max_epoch):
            for step in range(steps):
                total += train_step(self.model, self.optimizer, *next(stream), max_grad)
                count += 1
                if step % eval_interval == 0:
                    self.ppl_list.append(float(np.exp(total / count)))
                    if verbose:
                        log(self.current_epoch, step, steps, start, "perplexity", self.ppl_list[-1])
                    total, count = 0, 0
            self.current_epoch += 1


def log(epoch, step, steps, start, name, value):
    seconds = int(time.time() - start)
    print(f"| epoch {epoch + 1} |  iter {step + 1} / {steps} | time {seconds}[s] | {name} {value:.2f}")


def batches(corpus, batch_size, time_size):
    """Yield (xs, ts) as the book's RnnlmTrainer does, for ever: sequences that begin spread over the text."""
    x, t = corpus[:-1], corpus[1:]
    starts = [i * (len(x) // batch_size) for i in range(batch_size)]
    time = 0
    while True:
        xs, ts = np.empty((batch_size, time_size), int), np.empty((batch_size, time_size), int)
        for step in range(time_size):
            for i, start in enumerate(starts):
                xs[i, step], ts[i, step] = x[(start + time) % len(x)], t[(start + time) % len(x)]
            time += 1
        yield xs, ts
