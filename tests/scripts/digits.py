# Digits, in the manner of book 1, chapters 3 to 5: functions, differences, layers.
import os
import sys

sys.path.append(os.pardir)
from collections import OrderedDict

import numpy as np
from common.functions import *
from common.gradient import numerical_gradient
from common.layers import *
from dataset.mnist import load_mnist

# Chapter 3: scores of many samples at a time
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
print(x_train.shape, x_train.dtype, t_train.dtype, x_test.shape, t_train[:8].tolist())
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
print(x_train.shape, x_train.dtype, t_train.dtype, t_train[0].tolist())
np.random.seed(0)
W1, W2 = np.random.randn(784, 20) * 0.1, np.random.randn(20, 10) * 0.1
right = 0
for i in range(0, len(x_test), 50):
    y = softmax(np.dot(sigmoid(np.dot(x_test[i : i + 50], W1)), W2))
    right += np.sum(np.argmax(y, axis=1) == np.argmax(t_test[i : i + 50], axis=1))
print(
    "Accuracy:",
    float(right) / len(x_test),
    cross_entropy_error(y, t_test[i : i + 50]),
    sum_squared_error(y[0], t_test[i]),
)


# Chapter 4: a network of functions, trained by differences
class Functions:
    def __init__(self, *sizes):
        self.params = {"W1": 0.1 * np.random.randn(sizes[0], sizes[1]), "b1": np.zeros(sizes[1])}
        self.params |= {"W2": 0.1 * np.random.randn(sizes[1], sizes[2]), "b2": np.zeros(sizes[2])}

    def predict(self, x):
        p = self.params
        return softmax(np.dot(sigmoid(np.dot(x, p["W1"]) + p["b1"]), p["W2"]) + p["b2"])

    def loss(self, x, t):
        return cross_entropy_error(self.predict(x), t)

    def numerical_gradient(self, x, t):
        return {key: numerical_gradient(lambda W: self.loss(x, t), self.params[key]) for key in self.params}

    def gradient(self, x, t):
        p, a1 = self.params, np.dot(x, self.params["W1"]) + self.params["b1"]
        z1 = sigmoid(a1)
        dy = (self.predict(x) - t) / len(x)
        da1 = sigmoid_grad(a1) * np.dot(dy, p["W2"].T)
        return {"W1": np.dot(x.T, da1), "b1": da1.sum(axis=0), "W2": np.dot(z1.T, dy), "b2": dy.sum(axis=0)}


small = np.ascontiguousarray(x_train[:, 14:784:56])
net = Functions(small.shape[1], 4, 10)
for _ in range(3):
    grads = net.numerical_gradient(small[:20], t_train[:20])
    for key in net.params:
        net.params[key] -= 1.0 * grads[key]
    print(net.loss(small[:20], t_train[:20]))
print([bool(np.allclose(g, grads[k], atol=0.05)) for k, g in net.gradient(small[:20], t_train[:20]).items()])


# Chapter 5: the same of layers
class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        self.params = {}
        for i, (n, m) in enumerate(((input_size, hidden_size), (hidden_size, output_size)), start=1):
            self.params[f"W{i}"], self.params[f"b{i}"] = weight_init_std * np.random.randn(n, m), np.zeros(m)
        self.layers = OrderedDict()
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.lastLayer.forward(self.predict(x), t)

    def accuracy(self, x, t):
        y = np.argmax(self.predict(x), axis=1)
        if t.ndim != 1:
            t = np.argmax(t, axis=1)
        return np.sum(y == t) / float(x.shape[0])

    def numerical_gradient(self, x, t):
        return {key: numerical_gradient(lambda W: self.loss(x, t), self.params[key]) for key in self.params}

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        one, two = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": one.dW, "b1": one.db, "W2": two.dW, "b2": two.db}


net = TwoLayerNet(small.shape[1], 5, 10, weight_init_std=0.5)
numerical, backprop = net.numerical_gradient(small[:3], t_train[:3]), net.gradient(small[:3], t_train[:3])
for key, gradient in numerical.items():
    print(key, bool(np.average(np.abs(backprop[key] - gradient)) < 1e-6))

network = TwoLayerNet(input_size=784, hidden_size=30, output_size=10)
train_size, batch_size, learning_rate = len(x_train), 50, 0.1
iter_per_epoch = max(train_size / batch_size, 1)
for i in range(100):
    batch = np.random.choice(train_size, batch_size)
    grad = network.gradient(x_train[batch], t_train[batch])
    for key in ("W1", "b1", "W2", "b2"):
        network.params[key] -= learning_rate * grad[key]
    loss = network.loss(x_train[batch], t_train[batch])
    if i % iter_per_epoch == 0:
        print(loss, network.accuracy(x_train, t_train), network.accuracy(x_test, t_test))
