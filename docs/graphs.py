"""The layers' computational graphs, in the books' manner: data from left to right, weights from above.

Black is forward, the colour is the gradient that comes back; shapes are small. Positions are in pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from drawing import Graph

ROW = "(N, D)"
H_PREV, C_PREV = r"h_{\mathrm{prev}}", r"c_{\mathrm{prev}}"


def mapped(name: str, tex: str, back: str, shape: str = r"(\ldots)") -> Graph:
    """A layer of one node: y of the same shape as x, and the gradient's formula."""
    g = Graph(f"{name}: one node, forward and backward")
    g.node("f", 175, 60, tex, "box")
    g.edge((0, 60), "f", "x", shape, back)
    g.edge("f", (330, 60), "y", shape, "dout")
    return g


def mat_mul() -> Graph:
    """A product."""
    g = Graph("MatMul: x times W")
    g.node("dot", 180, 130, r"\cdot")
    g.edge((0, 130), "dot", "x", "(N, D)", r"dout\, W^T")
    g.edge((180, 0), "dot", "W", "(D, M)", r"x^T dout")
    g.edge("dot", (340, 130), "out", "(N, M)", "dout")
    return g


def affine(name: str = "Affine", x: str = "x", out: str = "out", rows: str = "N") -> Graph:
    """A product and a bias."""
    g = Graph(f"{name}: {x} times W, plus b")
    g.node("dot", 165, 130, r"\cdot")
    g.node("plus", 305, 130, "+")
    g.edge((0, 130), "dot", x, f"({rows}, D)", r"dout\, W^T")
    g.edge((165, 0), "dot", "W", "(D, M)", rf"{x}^T dout")
    g.edge("dot", "plus", f"{x} W", f"({rows}, M)", "dout")
    g.edge((305, 0), "plus", "b", r"(M,\!)", r"\Sigma\, dout")
    g.edge("plus", (445, 130), out, f"({rows}, M)", "dout")
    return g


def sigmoid() -> Graph:
    """The four nodes of book 1."""
    g = Graph("Sigmoid: times -1, exp, plus 1, one over it")
    g.node("times", 95, 60, r"\times")
    g.node("exp", 205, 60, r"\exp", "box")
    g.node("plus", 330, 60, "+")
    g.node("over", 450, 60, "1/")
    g.edge((0, 60), "times", "x", "", r"dx")
    g.edge((95, 140), "times", "-1")
    g.edge("times", "exp", "-x", "", r"-dx")
    g.edge("exp", "plus", r"e^{-x}", "", r"-dout\,y^2")
    g.edge((330, 140), "plus", "1")
    g.edge("plus", "over", r"1+e^{-x}", "", r"-dout\,y^2")
    g.edge("over", (545, 60), "y", r"(\ldots)", "dout")
    return g


def softmax() -> Graph:
    """Exponentials, their sum, the quotient."""
    g = Graph("Softmax: exponentials over their sum")
    g.node("exp", 110, 60, r"\exp", "box")
    g.node("sum", 250, 150, r"\Sigma")
    g.node("over", 370, 60, r"\div")
    g.edge((0, 60), "exp", "x", "(N, C)", "dx")
    g.edge("exp", "over", r"e^{x}", "(N, C)", r"dout\,/\,S")
    g.edge("exp", "sum", via=[(110, 150)])
    g.edge("sum", "over", "S", r"(N,\!)", via=[(370, 150)])
    g.edge("over", (480, 60), "y", "(N, C)", "dout")
    return g


def with_loss(name: str, first: str, shape: str, labels: str, gradient: str) -> Graph:
    """Scores to a loss: two boxes, the labels from above."""
    g = Graph(f"{name}: scores and labels to a loss")
    g.node("first", 145, 120, first, "box")
    g.node("loss", 345, 120, r"\mathrm{loss}", "box")
    g.edge((0, 120), "first", "x", shape, gradient)
    g.edge("first", "loss", "y", shape)
    g.edge((345, 20), "loss", "t", labels)
    g.edge("loss", (470, 120), "L", "", "dout")
    return g


def dropout() -> Graph:
    """A product with a mask that chance draws."""
    g = Graph("Dropout: x times a mask")
    g.node("times", 180, 120, r"\times")
    g.edge((0, 120), "times", "x", r"(\ldots)", r"dout\cdot \mathit{mask}")
    g.edge((180, 10), "times", r"\mathit{mask}")
    g.edge("times", (330, 120), "out", r"(\ldots)", "dout")
    return g


def embedding() -> Graph:
    """Rows of W."""
    g = Graph("Embedding: rows of W by word ID")
    g.node("rows", 165, 120, r"W[\mathit{idx}]", "box")
    g.edge((0, 120), "rows", r"\mathit{idx}", r"(N,\!)")
    g.edge((165, 0), "rows", "W", "(V, D)", "dW")
    g.edge("rows", (340, 120), "out", "(N, D)", "dout")
    return g


def batch_normalization() -> Graph:
    """Normalize, scale, shift."""
    g = Graph("BatchNormalization: normalize each column, then gamma and beta")
    g.node("norm", 130, 130, r"(x-\mu)\,/\,\sigma", "box")
    g.node("times", 300, 130, r"\times")
    g.node("plus", 410, 130, "+")
    g.edge((0, 130), "norm", "x", "(N, D)", "dx")
    g.edge("norm", "times", r"\hat{x}", "(N, D)", r"dout\,\gamma")
    g.edge((300, 0), "times", r"\gamma", r"(D,\!)", r"d\gamma")
    g.edge("times", "plus", "", "", "dout")
    g.edge((410, 0), "plus", r"\beta", r"(D,\!)", r"d\beta")
    g.edge("plus", (510, 130), "out", "(N, D)", "dout")
    return g


def convolution() -> Graph:
    """Windows as columns, a product, a bias."""
    g = Graph("Convolution: windows as columns, times the filters, plus b")
    g.node("cols", 130, 130, r"\mathrm{im2col}", "box")
    g.node("dot", 300, 130, r"\cdot")
    g.node("plus", 400, 130, "+")
    g.edge((0, 130), "cols", "x", "(N,C,H,W)", "dx")
    g.edge("cols", "dot", "col", "(N,CPQ,YX)", "dcol")
    g.edge((300, 0), "dot", "W", "(M,CPQ)", "dW")
    g.edge("dot", "plus", "", "", "dout")
    g.edge((400, 0), "plus", "b", r"(M,\!)", r"db")
    g.edge("plus", (520, 130), "out", "(N,M,Y,X)", "dout")
    return g


def pooling() -> Graph:
    """The largest of each window, and where it was."""
    g = Graph("Pooling: the largest of each window")
    g.node("max", 185, 60, r"\max", "box")
    g.edge((0, 60), "max", "x", "(N,C,H,W)", r"dout\ \mathrm{at\ argmax}")
    g.edge("max", (350, 60), "out", "(N,C,Y,X)", "dout")
    return g


def flatten() -> Graph:
    """Another shape of the same numbers."""
    g = Graph("Flatten: images as rows")
    g.node("rows", 185, 60, r"\mathrm{reshape}", "box")
    g.edge((0, 60), "rows", "x", "(N,C,H,W)", "dout")
    g.edge("rows", (375, 60), "out", "(N, CHW)", "dout")
    return g


def repeat() -> Graph:
    """One to many."""
    g = Graph("Repeat: n copies of a row")
    g.node("copy", 150, 110, r"\mathrm{Repeat}", "box")
    g.edge((0, 110), "copy", "x", r"(D,\!)", r"\Sigma\, dout_i")
    for i, y in enumerate((10, 110, 210)):
        label = ("out_0", "out_1", r"out_{n-1}")[i]
        corner = [(150.0, float(y))] if i != 1 else []
        g.edge("copy", (360, y), label, r"(D,\!)" if i == 0 else "", f"d{label}", via=corner, at=len(corner))
    return g


def total() -> Graph:
    """Many to one."""
    g = Graph("Sum: the sum of the rows")
    g.node("sum", 230, 110, r"\mathrm{Sum}", "box")
    for i, y in enumerate((10, 110, 210)):
        label = ("x_0", "x_1", r"x_{N-1}")[i]
        g.edge((0, y), "sum", label, r"(D,\!)" if i == 0 else "", "dout", via=[(230, y)] if i != 1 else [])
    g.edge("sum", (370, 110), r"\Sigma\, x_i", r"(1, D)", "dout")
    return g


def rnn() -> Graph:
    """Two products, their sum, tanh."""
    g = Graph("RNN: one step")
    g.node("wh", 110, 40, r"\cdot")
    g.node("wx", 110, 170, r"\cdot")
    g.node("plus", 235, 100, "+")
    g.node("tanh", 345, 100, r"\tanh", "box")
    g.edge((0, 40), "wh", H_PREV, "(N, H)", r"dh_{\mathrm{prev}}")
    g.edge((110, -50), "wh", "W_h", "(H, H)", "dW_h")
    g.edge((0, 170), "wx", "x", "(N, D)", "dx")
    g.edge((110, 260), "wx", "W_x", "(D, H)", "dW_x")
    g.edge("wh", "plus", via=[(235, 40)])
    g.edge("wx", "plus", via=[(175, 170), (175, 100)])
    g.edge((235, 260), "plus", "b", r"(H,\!)", "db")
    g.edge("plus", "tanh", "", "", "dA")
    g.edge("tanh", (470, 100), "h", "(N, H)", "dh")
    return g


def lstm() -> Graph:
    """The gates, the memory above them, the state to the right."""
    g = Graph("LSTM: gates f, g, i, o; the memory c along the top; the state h")
    g.node("keep", 100, 40, r"\times")
    g.node("add", 245, 40, "+")
    g.node("write", 245, 125, r"\times")
    for name, x, tex in (
        ("f", 100, r"\sigma"),
        ("g", 190, r"\tanh"),
        ("i", 300, r"\sigma"),
        ("o", 380, r"\sigma"),
    ):
        g.node(name, x, 215, tex, f"gate gate-{name}")
    g.node("squash", 480, 100, r"\tanh", "box")
    g.node("show", 480, 170, r"\times")
    g.node("A", 245, 305, r"A = x W_x + h_{\mathrm{prev}} W_h + b", "box")
    g.edge((0, 40), "keep", C_PREV, "", r"dc_{\mathrm{prev}}")
    g.edge("keep", "add", "", "", "s")
    g.edge("f", "keep", "f", "", "df")
    g.edge("g", "write", "g", "", "dg", via=[(190, 125)])
    g.edge("i", "write", "i", "", "di", via=[(300, 125)])
    g.edge("write", "add", "g\\,i", "", "s")
    g.edge("add", (550, 40), "c", "(N, H)", "dc")
    g.edge((480, 42), "squash", "", "", "s - dc")
    g.edge("squash", "show", "", "", r"dh\,o")
    g.edge("o", "show", "o", "", "do", via=[(380, 170)], at=0)
    g.edge("show", (550, 170), "h", "(N, H)", "dh")
    for name, x in (("f", 100), ("g", 190), ("i", 300), ("o", 380)):
        g.edge((x, 284), name, "", "", f"dA_{name}")
    g.line([(100, 284), (380, 284)], "forward")
    g.edge((190, 385), (190, 326), "x", "(N, D)", "dx")
    g.edge((300, 385), (300, 326), H_PREV, "(N, H)", r"dh_{\mathrm{prev}}")
    return g


def gru() -> Graph:
    """Two gates, a candidate, and what is kept of the old state."""
    g = Graph("GRU: gates z and r, the candidate state, and the new state between the two")
    g.node("keep", 110, 40, r"\times")
    g.node("add", 400, 40, "+")
    g.node("rest", 110, 125, r"1-z", "box")
    g.node("take", 400, 125, r"\times")
    g.node("z", 110, 265, r"\sigma", "gate gate-f")
    g.node("r", 215, 265, r"\sigma", "gate gate-i")
    g.node("reset", 320, 265, r"\times")
    g.node("hat", 460, 265, r"\tanh", "gate gate-g")
    g.node("A", 162, 350, r"x W_x + h_{\mathrm{prev}} W_h + b", "box")
    g.edge((0, 40), "keep", H_PREV, "(N, H)", r"dh_{\mathrm{prev}}")
    g.edge("keep", "add", r"(1-z)\,h_{\mathrm{prev}}", "", "dh")
    g.edge("rest", "keep", "", "")
    g.edge("z", "rest", "z", "", "dz")
    g.edge((110, 165), "take", via=[(340, 165), (340, 125)])
    g.edge("hat", "take", r"\hat{h}", "", r"d\hat{h}", via=[(460, 125)], at=1)
    g.edge("take", "add", r"z\,\hat{h}", "", "dh")
    g.edge("add", (510, 40), "h", "(N, H)", "dh")
    g.edge("r", "reset", "r", "", "dr")
    g.edge((320, 430), "reset", H_PREV, "", r"dh_{\mathrm{prev}}")
    g.edge("reset", "hat", r"r\,h_{\mathrm{prev}}", "", "drh")
    for gate, x in (("z", 110), ("r", 215)):
        g.edge((x, 329), gate, "", "", f"dA_{gate}")
    g.edge((110, 430), (110, 371), "x", "(N, D)", "dx")
    g.edge((215, 430), (215, 371), H_PREV, "", r"dh_{\mathrm{prev}}")
    g.edge((460, 430), "hat", "x", "(N, D)", "dx")
    return g


def unrolled(name: str, cell: str, states: str) -> Graph:
    """The same cell at each time step, and the state from one to the next."""
    g = Graph(f"{name}: the same cell at every time step")
    places = ((100, "0"), (235, "1"), (400, "T-1"))
    for x, t in places:
        g.node(t, x, 110, cell, "box")
        g.edge((x, 205), t, f"x_{{{t}}}", "(N, D)" if t == "0" else "", f"dx_{{{t}}}")
        g.edge(t, (x, 15), f"h_{{{t}}}", "(N, H)" if t == "0" else "", f"dh_{{{t}}}")
    g.edge((0, 110), "0", states, "", ",\\,".join(f"d{state}" for state in states.split(", ")))
    g.edge("0", "1", both=True)
    g.edge("1", (300, 110), both=True)
    g.tex(318, 114, r"\ldots")
    g.edge((336, 110), "T-1", both=True)
    g.edge("T-1", (500, 110), both=True)
    return g


def both_ways() -> Graph:
    """One LSTM reads forwards, one backwards; their states side by side."""
    g = Graph("TimeBiLSTM: one LSTM reads forwards, one backwards; their states are concatenated")
    for x, t in ((90, "0"), (240, "1"), (405, "T-1")):
        g.node(f"ahead{t}", x - 30, 215, r"\mathrm{LSTM}", "box")
        g.node(f"back{t}", x + 30, 130, r"\mathrm{LSTM}", "gate gate-g")
        g.node(f"both{t}", x, 55, r"[\,,]")
        g.line([(x, 330), (x, 268)], "forward")
        g.edge((x, 268), f"ahead{t}", via=[(x - 30, 268)])
        g.edge((x, 268), f"back{t}", via=[(x + 30, 268)])
        g.tex(x - 7, 315, f"x_{{{t}}}", anchor="end")
        g.edge(f"ahead{t}", f"both{t}", via=[(x - 30, 55)])
        g.edge(f"back{t}", f"both{t}", via=[(x + 30, 55)])
        g.edge(f"both{t}", (x, -30), f"h_{{{t}}}", "(N, 2H)" if t == "0" else "", f"dh_{{{t}}}")
    g.edge((0, 215), "ahead0")
    g.edge("ahead0", "ahead1")
    g.edge("ahead1", (294, 215))
    g.tex(308, 219, r"\ldots")
    g.edge((322, 215), "aheadT-1")
    g.edge((505, 130), "backT-1")
    g.edge("backT-1", (372, 130))
    g.tex(358, 134, r"\ldots")
    g.edge((344, 130), "back1")
    g.edge("back1", "back0")
    return g


def each_step(
    name: str, cell: str, inner: tuple[str, str, str], outer: tuple[str, str, str], weights: str = ""
) -> Graph:
    """The same node at each time step, nothing between the steps."""
    g = Graph(f"{name}: the same at every time step")
    for x, t in ((70, "0"), (215, "1"), (390, "T-1")):
        g.node(t, x, 110, cell, "box")
        symbol, shape, back = inner
        g.edge((x, 205), t, f"{symbol}_{{{t}}}", shape if t == "0" else "", back and f"{back}_{{{t}}}")
        symbol, shape, back = outer
        g.edge(t, (x, 15), f"{symbol}_{{{t}}}", shape if t == "0" else "", back and f"{back}_{{{t}}}")
    g.tex(302, 114, r"\ldots")
    if weights:
        g.tex(302, 170, weights, "shape", 13)
    return g


def time_loss(name: str, cell: str) -> Graph:
    """A loss at each time step, and their mean."""
    g = Graph(f"{name}: a loss at every time step, and their mean")
    g.node("mean", 230, 30, r"\mathrm{mean}", "box")
    for x, t in ((70, "0"), (230, "1"), (390, "T-1")):
        g.node(t, x, 130, cell, "box")
        g.edge((x - 34, 225), (x - 34, 151), f"x_{{{t}}}", "", f"dx_{{{t}}}")
        g.edge((x + 44, 225), (x + 44, 151))
        g.tex(x + 51, 193, f"t_{{{t}}}", anchor="start")
        g.edge(t, "mean", f"L_{{{t}}}" if t == "1" else "", via=[(x, 30)] if t != "1" else [])
    g.edge("mean", (230, -50), "L", "", "dout")
    return g


GRAPHS: dict[str, Callable[[], Graph]] = {
    "MatMul": mat_mul,
    "Affine": affine,
    "Sigmoid": sigmoid,
    "Relu": lambda: mapped("Relu", r"x > 0\,?", r"dout\ \mathrm{or}\ 0"),
    "Tanh": lambda: mapped("Tanh", r"\tanh", r"dout\,(1-y^2)"),
    "Softmax": softmax,
    "SoftmaxWithLoss": lambda: with_loss(
        "SoftmaxWithLoss", r"\mathrm{softmax}", "(N, C)", r"(N,\!)", r"(y-t)\,/\,N"
    ),
    "SigmoidWithLoss": lambda: with_loss("SigmoidWithLoss", r"\sigma", r"(N,\!)", r"(N,\!)", r"(y-t)\,/\,N"),
    "IdentityWithLoss": lambda: with_loss("IdentityWithLoss", r"y = x", "(N, C)", "(N, C)", r"(y-t)\,/\,N"),
    "Repeat": repeat,
    "Sum": total,
    "Dropout": dropout,
    "Embedding": embedding,
    "BatchNormalization": batch_normalization,
    "Convolution": convolution,
    "Pooling": pooling,
    "Flatten": flatten,
    "RNN": rnn,
    "LSTM": lstm,
    "GRU": gru,
    "TimeRNN": lambda: unrolled("TimeRNN", r"\mathrm{RNN}", "h"),
    "TimeLSTM": lambda: unrolled("TimeLSTM", r"\mathrm{LSTM}", "h, c"),
    "TimeGRU": lambda: unrolled("TimeGRU", r"\mathrm{GRU}", "h"),
    "TimeBiLSTM": both_ways,
    "TimeEmbedding": lambda: each_step(
        "TimeEmbedding", r"W[\cdot]", (r"\mathit{idx}", r"(N,\!)", ""), ("out", "(N, D)", "dout")
    ),
    "TimeAffine": lambda: affine("TimeAffine", "xs", "out", "NT"),
    "TimeDropout": lambda: each_step("TimeDropout", r"\times m_t", ("x", "(N, D)", "dx"), ("out", "", "dout")),
    "TimeSoftmaxWithLoss": lambda: time_loss("TimeSoftmaxWithLoss", r"\mathrm{softmax, loss}"),
    "TimeSigmoidWithLoss": lambda: time_loss("TimeSigmoidWithLoss", r"\sigma, \mathrm{loss}"),
}
