# Book 2, chapter 1: a training loop of one's own over the spiral.
import sys

import numpy as np
from common.layers import Affine, Sigmoid, SoftmaxWithLoss
from common.optimizer import SGD
from dataset import spiral

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
batch_size = 30
x, t = spiral.load_data()


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size):
        self.layers = [
            Affine(0.01 * np.random.randn(input_size, hidden_size), np.zeros(hidden_size)),
            Sigmoid(),
            Affine(0.01 * np.random.randn(hidden_size, output_size), np.zeros(output_size)),
        ]
        self.loss_layer = SoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        return self.loss_layer.forward(x, t)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


model, optimizer = TwoLayerNet(2, 10, 3), SGD(lr=1.0)
steps = len(x) // batch_size
for epoch in range(epochs):
    order = np.random.permutation(len(x))
    x, t = x[order], t[order]
    total = 0
    for i in range(steps):
        loss = model.forward(x[i * batch_size : (i + 1) * batch_size], t[i * batch_size : (i + 1) * batch_size])
        model.backward()
        optimizer.update(model.params, model.grads)
        total += loss
    if epoch < 10 or epoch % 10 == 9:
        print(f"| epoch {epoch + 1} | loss {total / steps:.10f}")
