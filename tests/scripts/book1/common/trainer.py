"""Book 1's Trainer, as much of it as prints, in our own words."""

import numpy as np

from common import optimizer as optimizers


class Trainer:
    def __init__(self, network, x, t, x_test, t_test, epochs=20, mini_batch_size=100, optimizer="SGD",
                 optimizer_param=None, evaluate_sample_num_per_epoch=None, verbose=True):  # fmt: skip
        self.network, self.data, self.test, self.size = network, (x, t), (x_test, t_test), mini_batch_size
        self.per_epoch = max(len(x) / mini_batch_size, 1)
        self.steps, self.sample = int(epochs * self.per_epoch), evaluate_sample_num_per_epoch
        self.optimizer = getattr(optimizers, optimizer)(**(optimizer_param or {"lr": 0.01}))
        self.train_loss_list = []

    def train(self):
        epoch = 0
        for i in range(self.steps):
            batch = np.random.choice(len(self.data[0]), self.size)
            x, t = (a[batch] for a in self.data)
            self.optimizer.update(self.network.params, self.network.gradient(x, t))
            self.train_loss_list.append(self.network.loss(x, t))
            print("train loss:" + str(self.train_loss_list[-1]))
            if i % self.per_epoch == 0:
                epoch += 1
                shares = [self.network.accuracy(*(a[: self.sample] for a in d)) for d in (self.data, self.test)]
                print(f"=== epoch:{epoch}, train acc:{shares[0]}, test acc:{shares[1]} ===")
        print("=============== Final Test Accuracy ===============")
        print("test acc:" + str(self.network.accuracy(*self.test)))
