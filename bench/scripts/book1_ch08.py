# Book 1, chapter 8: a deep convolutional network.
import sys
from itertools import pairwise

import numpy as np
from chapters import ImageNetwork, image_weights
from common import layers
from common.trainer import Trainer
from dataset.mnist import load_mnist

images = int(sys.argv[1]) if len(sys.argv) > 1 else 300
(x_train, t_train), (x_test, t_test) = load_mnist(flatten=False)
np.random.seed(0)
chain = []
for pads in ((1, 1), (1, 2), (1, 1)):
    for pad in pads:
        chain += [("Convolution", 1, pad), "Relu"]
    chain.append("Pooling")
chain += ["Affine", "Relu", ("Dropout", 0.5), "Affine", ("Dropout", 0.5)]
maps = [1, 16, 16, 32, 32, 64, 64]
shapes = [(m, c, 3, 3) for c, m in pairwise(maps)] + [(64 * 4 * 4, 50), (50, 10)]
network = ImageNetwork(layers, image_weights(shapes, he=True), chain)
Trainer(network, x_train[:images], t_train[:images], x_test[:100], t_test[:100], epochs=1,
        mini_batch_size=100, optimizer="Adam", optimizer_param={"lr": 0.001},
        evaluate_sample_num_per_epoch=100).train()  # fmt: skip
