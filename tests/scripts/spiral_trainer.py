# A network with one hidden layer, the Trainer and its picture, in the manner of book 2, chapter 1.
import sys

sys.path.append("..")
import numpy as np
from common.layers import Affine, Sigmoid, SoftmaxWithLoss
from common.optimizer import SGD
from common.trainer import Trainer
from dataset import spiral


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size):
        W1, b1 = 0.01 * np.random.randn(input_size, hidden_size), np.zeros(hidden_size)
        W2, b2 = 0.01 * np.random.randn(hidden_size, output_size), np.zeros(output_size)
        self.layers = [Affine(W1, b1), Sigmoid(), Affine(W2, b2)]
        self.loss_layer = SoftmaxWithLoss()
        self.params, self.grads = [], []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def forward(self, x, t):
        return self.loss_layer.forward(self.predict(x), t)

    def backward(self, dout=1):
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


x, t = spiral.load_data()
model = TwoLayerNet(input_size=2, hidden_size=10, output_size=3)
trainer = Trainer(model, SGD(lr=1.0))
trainer.fit(x, t, max_epoch=60, batch_size=30, eval_interval=10)
trainer.fit(x, t, 10, 100, max_grad=0.1, eval_interval=2)  # goes on counting
trainer.plot()
print(trainer.loss_list, trainer.current_epoch, trainer.eval_interval)

grid = np.stack(np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 20)), axis=-1).reshape(-1, 2)
print("".join(map(str, np.argmax(model.predict(grid), axis=1))))
