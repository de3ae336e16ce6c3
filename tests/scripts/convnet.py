# A convolutional network in the manner of book 1, chapter 7, on images of our own.
import os
import pickle
import sys

sys.path.append(os.pardir)
from collections import OrderedDict

import numpy as np
from common.gradient import numerical_gradient
from common.layers import Affine, BatchNormalization, Convolution, Dropout, Pooling, Relu, SoftmaxWithLoss
from common.trainer import Trainer


class ConvNet:
    def __init__(self, filters=4, size=3, hidden=12, classes=3):
        places = 12 - size + 1
        self.params = {}
        self.params["W1"] = 0.1 * np.random.randn(filters, 1, size, size)
        self.params["b1"] = np.zeros(filters)
        self.params["W2"] = 0.1 * np.random.randn(filters * (places // 2) ** 2, hidden)
        self.params["b2"] = np.zeros(hidden)
        self.params["gamma"], self.params["beta"] = np.ones(hidden), np.zeros(hidden)
        self.params["W3"] = 0.1 * np.random.randn(hidden, classes)
        self.params["b3"] = np.zeros(classes)
        p = self.params
        self.layers = OrderedDict()
        self.layers["Conv1"] = Convolution(p["W1"], p["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Pool1"] = Pooling(pool_h=2, pool_w=2, stride=2)
        self.layers["Affine1"] = Affine(p["W2"], p["b2"])
        self.layers["Norm"] = BatchNormalization(p["gamma"], p["beta"])
        self.layers["Relu2"] = Relu()
        self.layers["Dropout"] = Dropout(0.2)
        self.layers["Affine2"] = Affine(p["W3"], p["b3"])
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x, train_flg=False):
        for layer in self.layers.values():
            if isinstance(layer, (Dropout, BatchNormalization)):
                x = layer.forward(x, train_flg)
            else:
                x = layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        return self.last_layer.forward(self.predict(x, train_flg), t)

    def accuracy(self, x, t):
        return np.sum(np.argmax(self.predict(x), axis=1) == t) / float(x.shape[0])

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        grads = {}
        for number, name in ((1, "Conv1"), (2, "Affine1"), (3, "Affine2")):
            grads[f"W{number}"], grads[f"b{number}"] = self.layers[name].dW, self.layers[name].db
        grads["gamma"], grads["beta"] = self.layers["Norm"].dgamma, self.layers["Norm"].dbeta
        return grads

    def save_params(self, file_name="params.pkl"):
        with open(file_name, "wb") as file:
            pickle.dump(dict(self.params), file)

    def load_params(self, file_name="params.pkl"):
        with open(file_name, "rb") as file:
            self.params.update(pickle.load(file))
        for number, name in ((1, "Conv1"), (2, "Affine1"), (3, "Affine2")):
            self.layers[name].W, self.layers[name].b = self.params[f"W{number}"], self.params[f"b{number}"]
        self.layers["Norm"].gamma, self.layers["Norm"].beta = self.params["gamma"], self.params["beta"]


np.random.seed(3)
t = np.random.randint(0, 3, 200)
x = np.random.rand(200, 1, 12, 12) * 0.3
for i, label in enumerate(t):
    x[i, 0, 4 * label : 4 * label + 3, 2:9] += 0.5
network = ConvNet()
trainer = Trainer(
    network,
    x[:150],
    t[:150],
    x[150:],
    t[150:],
    epochs=3,
    mini_batch_size=30,
    optimizer=sys.argv[1],
    optimizer_param={"lr": 0.01},
    evaluate_sample_num_per_epoch=50,
)
trainer.train()
print(len(trainer.train_loss_list))

# Another network, with what this one has learned
network.save_params()
second = ConvNet()
print(second.loss(x[:40], t[:40], train_flg=True))
second.load_params()
print(second.loss(x[:40], t[:40], train_flg=True), second.accuracy(x[150:], t[150:]))

# Its gradients, by differences; a stride and a border
conv = second.layers["Conv1"] = Convolution(second.params["W1"], second.params["b1"], stride=2, pad=1)
conv.forward(x[:2])
second.layers["Pool1"] = Pooling(2, 2, stride=1)
second.layers["Affine1"].W = second.params["W2"] = 0.1 * np.random.randn(4 * 5 * 5, 12)
second.layers["Dropout"] = Dropout(0.0)
exact = second.gradient(x[:4], t[:4])
for name in ("beta", "gamma", "b3"):
    differences = numerical_gradient(lambda _: second.loss(x[:4], t[:4], True), second.params[name])
    print(name, np.average(np.abs(exact[name] - differences)) < 1e-5, exact[name].tolist())
print(second.layers["Conv1"].dW.shape, float(np.sum(exact["W1"] ** 2)))
