"""A reader's own network class, as the notes write it: a chain of layers, all parameters in one list."""


class Chain:
    """Layers one after another and a loss at the end; a test adds what its reader puts in."""

    def __init__(self, layers, loss_layer):
        self.layers, self.loss_layer = layers, loss_layer
        self.params, self.grads = [], []
        for layer in layers:
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


def dense_chain(layers, params, activation="Sigmoid"):
    """A chain over [W1, b1, W2, ...] of a module's layers: book 2's in NumPy, or scratchnet's."""
    chain = []
    for W, b in zip(params[::2], params[1::2], strict=True):
        chain += [layers.Affine(W, b), getattr(layers, activation)()]
    return Chain(chain[:-1], layers.SoftmaxWithLoss())
