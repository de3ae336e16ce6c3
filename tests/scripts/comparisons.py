# What makes training better or worse, in the manner of book 1, chapter 6.
import os
import sys

sys.path.append(os.pardir)
from collections import OrderedDict

import matplotlib.pyplot as plt
from common.multi_layer_net import MultiLayerNet
from common.multi_layer_net_extend import MultiLayerNetExtend
from common.optimizer import *
from common.trainer import Trainer
from common.util import shuffle_dataset, smooth_curve
from dataset.mnist import load_mnist

# Ways down a valley, with two plain numbers as parameters
optimizers = OrderedDict()
optimizers["SGD"] = SGD(lr=0.95)
optimizers["Momentum"] = Momentum(lr=0.1)
optimizers["Nesterov"] = Nesterov(lr=0.1)
optimizers["AdaGrad"] = AdaGrad(lr=1.5)
optimizers["RMSprop"] = RMSprop(lr=0.1)
optimizers["Adam"] = Adam(lr=0.3)
for key, optimizer in optimizers.items():
    params, history = {"x": -7.0, "y": 2.0}, []
    for _ in range(30):
        history.append(params["x"])
        grads = {"x": params["x"] / 10.0, "y": 2.0 * params["y"]}
        optimizer.update(params, grads)
    plt.plot(history)
    print(key, params["x"], params["y"], history[10])

(x_train, t_train), (x_test, t_test) = load_mnist(normalize=True)
train_size, batch_size = len(x_train), 40

# The same on digits
for key, make in {"SGD": SGD, "Momentum": Momentum, "AdaGrad": AdaGrad, "Adam": Adam}.items():
    np.random.seed(1)
    network, optimizer = MultiLayerNet(784, [20, 20, 20], 10), make()
    train_loss = []
    for i in range(16):
        batch = np.random.choice(train_size, batch_size)
        grads = network.gradient(x_train[batch], t_train[batch])
        optimizer.update(network.params, grads)
        train_loss.append(network.loss(x_train[batch], t_train[batch]))
        if i % 5 == 0:
            print(key + ":" + str(train_loss[-1]))
    plt.plot(smooth_curve(np.array(train_loss)), label=key)
    print(smooth_curve(train_loss).tolist())

# First weights
for key, weight_type in {"std=0.01": 0.01, "Xavier": "sigmoid", "He": "relu"}.items():
    np.random.seed(2)
    network, optimizer = MultiLayerNet(784, [20, 20], 10, weight_init_std=weight_type), SGD(lr=0.01)
    for _ in range(5):
        batch = np.random.choice(train_size, batch_size)
        optimizer.update(network.params, network.gradient(x_train[batch], t_train[batch]))
    print(f"{key}:{network.loss(x_train[batch], t_train[batch])}")

# Batch normalization, with and without
for w in np.logspace(0, -4, num=3):
    np.random.seed(3)
    nets = [
        MultiLayerNetExtend(784, [15, 15, 15], 10, weight_init_std=w, use_batchnorm=use) for use in (True, False)
    ]
    optimizer = [SGD(lr=0.01), SGD(lr=0.01)]
    for _ in range(6):
        batch = np.random.choice(train_size, batch_size)
        for net, opt in zip(nets, optimizer, strict=True):
            opt.update(net.params, net.gradient(x_train[batch], t_train[batch]))
    accuracies = [net.accuracy(x_train, t_train) for net in nets]
    print(w, accuracies[0], accuracies[1], nets[0].loss(x_test, t_test), nets[0].loss(x_test, t_test, True))

np.random.seed(4)
net = MultiLayerNetExtend(16, [6, 5], 10, weight_init_std=0.3, use_batchnorm=True)
some = x_train[:5, 14:784:49]
numerical, backprop = net.numerical_gradient(some, t_train[:5]), net.gradient(some, t_train[:5])
for key in numerical:
    print(key, bool(np.average(np.abs(backprop[key] - numerical[key])) < 1e-5))

# Learning by heart, and two remedies
np.random.seed(5)
network, optimizer = MultiLayerNet(784, [20, 20], 10, weight_decay_lambda=0.1), SGD(lr=0.01)
for i in range(20):
    batch = np.random.choice(60, 20)
    optimizer.update(network.params, network.gradient(x_train[:60][batch], t_train[:60][batch]))
    if i % 3 == 0:
        print(network.accuracy(x_train[:60], t_train[:60]), network.loss(x_test, t_test))
network = MultiLayerNetExtend(784, [20, 20], 10, use_dropout=True, dropout_ration=0.2)
trainer = Trainer(network, x_train[:60], t_train[:60], x_test, t_test, epochs=3, mini_batch_size=20,
                  optimizer="sgd", optimizer_param={"lr": 0.05}, verbose=True)  # fmt: skip
trainer.train()
print([float(a) for a in trainer.train_acc_list + trainer.test_acc_list])

# A search
x_train, t_train = shuffle_dataset(x_train[:200], t_train[:200])
x_val, t_val, x_train, t_train = x_train[:40], t_train[:40], x_train[40:], t_train[40:]
for _ in range(2):
    weight_decay, lr = 10 ** np.random.uniform(-8, -4), 10 ** np.random.uniform(-6, -2)
    network = MultiLayerNet(784, [20], 10, weight_decay_lambda=weight_decay)
    trainer = Trainer(network, x_train, t_train, x_val, t_val, epochs=2, mini_batch_size=40, optimizer="adam",
                      optimizer_param={"lr": lr}, verbose=False)  # fmt: skip
    trainer.train()
    print("val acc:" + str(trainer.test_acc_list[-1]) + " | lr:" + str(lr) + ", weight decay:" + str(weight_decay))
    print(trainer.train_loss_list[-1])
plt.savefig("curves.png")
