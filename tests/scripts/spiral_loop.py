# A training loop of one's own in the manner of book 2, chapter 1.
import sys

sys.path.append("..")
import numpy as np
from common.layers import Affine, Sigmoid, SoftmaxWithLoss
from common.optimizer import SGD
from dataset import spiral

max_epoch, batch_size = 40, 30
x, t = spiral.load_data()
layers = [
    Affine(0.01 * np.random.randn(2, 10), np.zeros(10)),
    Sigmoid(),
    Affine(0.01 * np.random.randn(10, 3), np.zeros(3)),
]
loss_layer = SoftmaxWithLoss()
params, grads = [], []
for layer in layers:
    params += layer.params
    grads += layer.grads
optimizer = SGD(lr=1.0)

for epoch in range(max_epoch):
    idx = np.random.permutation(len(x))
    x, t = x[idx], t[idx]
    total = 0
    for i in range(len(x) // batch_size):
        h, batch_t = x[i * batch_size : (i + 1) * batch_size], t[i * batch_size : (i + 1) * batch_size]
        for layer in layers:
            h = layer.forward(h)
        total += loss_layer.forward(h, batch_t)
        dout = loss_layer.backward()
        for layer in reversed(layers):
            dout = layer.backward(dout)
        optimizer.update(params, grads)
    print(f"| epoch {epoch + 1} | loss {total / (len(x) // batch_size):.10f}")
