"""Book 1's network of many layers."""

from collections import OrderedDict

import numpy as np

from .gradient import numerical_gradient
from .layers import Affine, BatchNormalization, Dropout, Relu, Sigmoid, SoftmaxWithLoss

GAIN = {"relu": 2.0, "he": 2.0, "sigmoid": 1.0, "xavier": 1.0}


class MultiLayerNet:
    def __init__(self, input_size, hidden_size_list, output_size, activation="relu", weight_init_std="relu",
                 weight_decay_lambda=0, use_dropout=False, dropout_ration=0.5, use_batchnorm=False):  # fmt: skip
        self.weight_decay_lambda, self.params, self.layers = weight_decay_lambda, {}, OrderedDict()
        sizes = [input_size, *hidden_size_list, output_size]
        for i in range(1, len(sizes)):
            std = weight_init_std
            if isinstance(std, str):
                std = np.sqrt(GAIN[std.lower()] / sizes[i - 1])
            W, b = std * np.random.randn(sizes[i - 1], sizes[i]), np.zeros(sizes[i])
            self.params[f"W{i}"], self.params[f"b{i}"] = W, b
            self.layers[f"Affine{i}"] = Affine(W, b)
            if i == len(sizes) - 1:
                break
            if use_batchnorm:
                gamma, beta = np.ones(sizes[i]), np.zeros(sizes[i])
                self.params[f"gamma{i}"], self.params[f"beta{i}"] = gamma, beta
                self.layers[f"BatchNorm{i}"] = BatchNormalization(gamma, beta)
            self.layers[f"Activation_function{i}"] = {"relu": Relu, "sigmoid": Sigmoid}[activation]()
            if use_dropout:
                self.layers[f"Dropout{i}"] = Dropout(dropout_ration)
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x, train_flg=False):
        for name, layer in self.layers.items():
            x = layer.forward(x, train_flg) if name.startswith(("Dropout", "BatchNorm")) else layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        squares = sum(np.sum(W**2) for name, W in self.params.items() if name.startswith("W"))
        return self.last_layer.forward(self.predict(x, train_flg), t) + 0.5 * self.weight_decay_lambda * squares

    def accuracy(self, x, t):
        labels = t if t.ndim == 1 else np.argmax(t, axis=1)
        return np.sum(np.argmax(self.predict(x), axis=1) == labels) / float(len(x))

    def numerical_gradient(self, x, t):
        return {name: numerical_gradient(lambda _: self.loss(x, t, True), p) for name, p in self.params.items()}

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {}
        for name in self.params:
            kind, i = name.rstrip("0123456789"), name.lstrip("Wbgamet")
            layer = self.layers[("Affine" if kind in "Wb" else "BatchNorm") + i]
            grads[name] = getattr(layer, f"d{kind}")
            if kind == "W":
                grads[name] = grads[name] + self.weight_decay_lambda * layer.W
        return grads
