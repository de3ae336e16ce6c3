# Book 1, chapter 6: 300 images learned by heart, weights held small.
import sys

import numpy as np
from common.multi_layer_net import MultiLayerNet
from common.optimizer import SGD
from dataset.mnist import load_mnist

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 18
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
x_train, t_train = x_train[:300], t_train[:300]
np.random.seed(0)
network = MultiLayerNet(784, [100] * 6, 10, weight_decay_lambda=0.1)
optimizer = SGD(lr=0.01)
for i in range(3 * epochs):
    batch = np.random.choice(300, 100)
    grads = network.gradient(x_train[batch], t_train[batch])
    optimizer.update(network.params, grads)
    if i % 3 == 0:
        print("accuracy", network.accuracy(x_train, t_train), network.accuracy(x_test, t_test))
    if i % 10 == 0:
        print(i, network.loss(x_train, t_train))
