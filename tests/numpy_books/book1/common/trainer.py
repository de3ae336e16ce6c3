"""Book 1's Trainer, as much of it as prints."""

import numpy as np

from . import optimizer as optimizers

NAMES = {name.lower(): name for name in optimizers.__all__}


class Trainer:
    def __init__(self, network, x, t, x_test, t_test, epochs=20, mini_batch_size=100, optimizer="SGD",
                 optimizer_param=None, evaluate_sample_num_per_epoch=None, verbose=True):  # fmt: skip
        self.network, self.data, self.test, self.size = network, (x, t), (x_test, t_test), mini_batch_size
        self.per_epoch = max(len(x) / mini_batch_size, 1)
        self.steps, self.sample = int(epochs * self.per_epoch), evaluate_sample_num_per_epoch
        self.optimizer = getattr(optimizers, NAMES[optimizer.lower()])(**(optimizer_param or {"lr": 0.01}))
        self.print = print if verbose else lambda line: None
        self.train_loss_list, self.train_acc_list, self.test_acc_list = [], [], []

    def train(self):
        for i in range(self.steps):
            batch = np.random.choice(len(self.data[0]), self.size)
            x, t = (a[batch] for a in self.data)
            self.optimizer.update(self.network.params, self.network.gradient(x, t))
            self.train_loss_list.append(self.network.loss(x, t))
            self.print("train loss:" + str(self.train_loss_list[-1]))
            if i % self.per_epoch == 0:
                shares = [self.network.accuracy(*(a[: self.sample] for a in d)) for d in (self.data, self.test)]
                for share, kept in zip(shares, (self.train_acc_list, self.test_acc_list), strict=True):
                    kept.append(share)
                epoch = len(self.train_acc_list)
                self.print(f"=== epoch:{epoch}, train acc:{shares[0]}, test acc:{shares[1]} ===")
        self.print("=============== Final Test Accuracy ===============")
        self.print("test acc:" + str(self.network.accuracy(*self.test)))
