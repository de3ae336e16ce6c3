# Book 1, chapter 5: the same network of layers.
import sys

import numpy as np
from chapters import ImageNetwork, image_weights
from common import layers
from dataset.mnist import load_mnist

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 900
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
np.random.seed(0)
network = ImageNetwork(layers, image_weights([(784, 50), (50, 10)]), ("Affine", "Relu", "Affine"))
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
