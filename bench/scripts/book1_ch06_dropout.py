# Book 1, chapter 6: 300 images learned by heart, with dropout, by the Trainer.
import sys

import numpy as np
from common.multi_layer_net_extend import MultiLayerNetExtend
from common.trainer import Trainer
from dataset.mnist import load_mnist

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 18
(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
np.random.seed(0)
network = MultiLayerNetExtend(784, [100] * 6, 10, use_dropout=True, dropout_ration=0.2)
trainer = Trainer(network, x_train[:300], t_train[:300], x_test, t_test, epochs=epochs, mini_batch_size=100,
                  optimizer="sgd", optimizer_param={"lr": 0.01}, verbose=True)  # fmt: skip
trainer.train()
