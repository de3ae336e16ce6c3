# Book 1, chapter 4: a network of functions, its gradients worked out by hand.
import sys

import numpy as np
from common.functions import cross_entropy_error, sigmoid, sigmoid_grad, softmax
from dataset.mnist import load_mnist

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 900


class Functions:
    def __init__(self, *sizes):
        self.params = {}
        for i in (1, 2):
            self.params[f"W{i}"] = 0.01 * np.random.randn(sizes[i - 1], sizes[i])
            self.params[f"b{i}"] = np.zeros(sizes[i])

    def predict(self, x):
        p = self.params
        return softmax(np.dot(sigmoid(np.dot(x, p["W1"]) + p["b1"]), p["W2"]) + p["b2"])

    def loss(self, x, t):
        return cross_entropy_error(self.predict(x), t)

    def accuracy(self, x, t):
        return np.sum(np.argmax(self.predict(x), axis=1) == np.argmax(t, axis=1)) / float(len(x))

    def gradient(self, x, t):
        p = self.params
        a1 = np.dot(x, p["W1"]) + p["b1"]
        z1 = sigmoid(a1)
        dy = (softmax(np.dot(z1, p["W2"]) + p["b2"]) - t) / len(x)
        da1 = sigmoid_grad(a1) * np.dot(dy, p["W2"].T)
        return {"W1": np.dot(x.T, da1), "b1": da1.sum(axis=0), "W2": np.dot(z1.T, dy), "b2": dy.sum(axis=0)}


(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
np.random.seed(0)
network = Functions(784, 50, 10)
for i in range(steps):
    batch = np.random.choice(len(x_train), 100)
    x, t = x_train[batch], t_train[batch]
    grads = network.gradient(x, t)
    for name in network.params:
        network.params[name] -= 0.1 * grads[name]
    loss = network.loss(x, t)
    if i % 20 == 0 and i < 100:
        print(i, loss)
    if i % 600 == 0:
        print("accuracy", network.accuracy(x_train, t_train), network.accuracy(x_test, t_test))
