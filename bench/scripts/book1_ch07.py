# Book 1, chapter 7: a convolutional network.
import sys

import numpy as np
from chapters import ImageNetwork, image_weights
from common import layers
from common.trainer import Trainer
from dataset.mnist import load_mnist

images = int(sys.argv[1]) if len(sys.argv) > 1 else 800
(x_train, t_train), (x_test, t_test) = load_mnist(flatten=False)
np.random.seed(0)
chain = ("Convolution", "Relu", "Pooling", "Affine", "Relu", "Affine")
network = ImageNetwork(layers, image_weights([(30, 1, 5, 5), (30 * 12 * 12, 100), (100, 10)]), chain)
Trainer(network, x_train[:images], t_train[:images], x_test[:1000], t_test[:1000], epochs=2,
        mini_batch_size=100, optimizer="Adam", optimizer_param={"lr": 0.001},
        evaluate_sample_num_per_epoch=1000).train()  # fmt: skip
