"""Pictures, drawn without a window: what they show, what they cost, and what they refuse."""

import sys
import tracemalloc
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from processes import fresh

from scratchnet import SGD, Trainer, TwoLayerNet
from scratchnet.plotting import LiveLoss, decision_regions, plot_decision_boundary, plot_descent, plot_loss


@pytest.fixture(autouse=True)
def plt(monkeypatch):
    """pyplot as on a machine without a window; every figure is closed after the test."""
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "show", lambda *a, **k: pytest.fail("a plot function called plt.show()"))
    yield pyplot
    pyplot.close("all")


class Net:
    """Two layers in plain NumPy that note how they are called."""

    def __init__(self, outputs=3, hidden=10):
        rng = np.random.default_rng(1)
        self.W1, self.W2 = 3 * rng.normal(size=(2, hidden)), rng.normal(size=(hidden, outputs))
        self.calls = []

    def predict(self, x):
        self.calls.append((x.shape, x.dtype, x.flags.c_contiguous))
        return np.tanh(x @ self.W1 + 0.3) @ self.W2


class Returns:
    """A model whose predict is the given function."""

    def __init__(self, predict):
        self.predict = predict


class Run:
    def __init__(self, losses, eval_interval=20):
        self.loss_list, self.eval_interval = losses, eval_interval


def points(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, size=(n, 2)), rng.integers(0, 3, size=n)


def descent(lr, steps=100, start=(-3.0, 4.0)):
    """The path on x0**2 + x1**2, whose gradient is 2x."""
    return np.array(start) * (1 - 2 * lr) ** np.arange(steps + 1.0)[:, None]


def draw(ax):
    """Rendering is where matplotlib meets values that it cannot draw."""
    ax.figure.canvas.draw()


# The loss curve


def test_the_loss_curve_shows_the_losses_and_the_books_labels():
    ax = plot_loss(Run([1.1, 0.9, 0.4], eval_interval=10))
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(line.get_ydata(), [1.1, 0.9, 0.4])
    assert line.get_label() == "train"
    assert ax.get_xlabel() == "Iterations (x10)"
    assert ax.get_ylabel() == "Loss"


def test_the_loss_curve_keeps_to_the_limits_asked_for():
    assert plot_loss(Run([1.0, 0.5]), ylim=(0, 2)).get_ylim() == (0, 2)


def test_a_plain_list_of_losses_is_drawn_too():
    ax = plot_loss([3.0, 2.0])
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), [3.0, 2.0])
    assert ax.get_xlabel() == "Iterations"


def test_a_language_model_s_curve_is_its_perplexity():
    trainer = SimpleNamespace(ppl_list=[90.0, 40.0], eval_interval=5)
    ax = plot_loss(trainer)
    np.testing.assert_array_equal(ax.get_lines()[0].get_ydata(), trainer.ppl_list)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Iterations (x5)", "Perplexity")
    trainer.ppl_list = []
    with pytest.raises(ValueError, match="no perplexity to plot yet: ppl_list is empty"):
        plot_loss(trainer)


def test_validation_is_drawn_beside_training_at_the_ends_of_epochs():
    history = [{"epoch": n, "loss": 1.0 / n, "val_loss": 2.0 / n} for n in (1, 2, 3)]
    run = SimpleNamespace(loss_list=[1.0, 0.9, 0.6, 0.5, 0.4, 0.3], eval_interval=5, history=history)
    ax = plot_loss(run)
    train, validation = ax.get_lines()
    np.testing.assert_array_equal(train.get_ydata(), run.loss_list)
    np.testing.assert_array_equal(validation.get_xdata(), [1, 3, 5])
    np.testing.assert_array_equal(validation.get_ydata(), [2.0, 1.0, 2.0 / 3])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "validation"]
    del history[1]["val_loss"]  # a fit without, between two with
    np.testing.assert_array_equal(plot_loss(run).get_lines()[1].get_xdata(), [1, 5])


def test_without_lines_the_epochs_are_drawn():
    history = [{"epoch": n, "loss": 1.0 / n} for n in (1, 2)]
    ax = plot_loss(SimpleNamespace(loss_list=[], eval_interval=None, history=history))
    (line,) = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [1.0, 0.5])
    assert ax.get_xlabel() == "Epochs"


@pytest.mark.parametrize(
    ("interval", "label", "lines"),
    [(5, "Iterations (x5)", 8), (10, "Iterations (x10)", 4), (11, "Epochs", 4), (1000, "Epochs", 4)],
)
def test_an_interval_longer_than_an_epoch_has_a_point_for_each_epoch(interval, label, lines, tmp_path):
    """10 steps in each of 4 epochs: a line is due in the first step of each, whatever the interval."""
    x, t = points(100)
    trainer = Trainer(TwoLayerNet(2, 3, 3, rng=0), SGD())
    trainer.fit(x, t, 4, 10, eval_interval=interval, verbose=False)
    other = Trainer(TwoLayerNet(2, 3, 3, rng=0), SGD())
    other.load_checkpoint(trainer.save_checkpoint(tmp_path / "run"))
    for trained in (trainer, other):
        ax = trained.plot()
        assert ax.get_xlabel() == label and len(ax.get_lines()[0].get_ydata()) == lines


class Display:
    """IPython's display, as far as it is used: keeps what it was given."""

    def __init__(self):
        self.shown, self.updates = [], 0

    def display(self, picture, *, display_id):
        assert display_id is True
        self.shown.append(picture)
        return self

    def update(self, picture):
        self.shown.append(picture)
        self.updates += 1


@pytest.fixture
def notebook(monkeypatch):
    """A display, and a clock that stands still unless it is set."""
    display = Display()
    module = ModuleType("IPython.display")
    module.display, module.Image = display.display, lambda data, format: (format, data)
    package = ModuleType("IPython")
    package.version_info = (9, 0)  # matplotlib asks for it
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    display.now = 100.0
    monkeypatch.setattr("scratchnet._curves.time", SimpleNamespace(monotonic=lambda: display.now))
    return display


def test_a_live_curve_is_redrawn_at_most_twice_a_second(notebook, plt):
    drawn = []

    def pass_time(trainer):
        drawn.append(len(notebook.shown))
        notebook.now += 0.2

    trainer = Trainer(TwoLayerNet(2, 3, 3, rng=0), SGD(1.0))
    x, t = points()
    live = LiveLoss(ylim=(0, 2))
    trainer.fit(x, t, 7, len(x), verbose=False, validation=(x, t), callbacks=[live, pass_time])
    assert drawn == [1, 1, 1, 2, 2, 2, 3]  # at 0.0, 0.6 and 1.2 seconds
    assert len(notebook.shown) == 3 and notebook.updates == 2  # the last epoch is in the last picture
    assert all(kind == "png" and data.startswith(b"\x89PNG") for kind, data in notebook.shown)
    assert plt.get_fignums() == []
    trainer.fit(x, t, 2, len(x), verbose=False, callbacks=[live, pass_time])
    assert len(notebook.shown) == 5 and notebook.updates == 3  # a new picture; at its end the whole curve


def test_a_live_curve_says_what_it_requires(monkeypatch):
    with pytest.raises(ValueError, match="ylim must be two numbers"):
        LiveLoss(ylim=3)
    for ylim in ((np.nan, 1), (0, np.inf)):
        with pytest.raises(ValueError, match="ylim must be two finite numbers"):
            LiveLoss(ylim)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    x, t = points()
    with pytest.raises(ImportError, match="LiveLoss requires IPython"):
        Trainer(TwoLayerNet(2, 3, 3), SGD()).fit(x, t, 1, len(x), callbacks=[LiveLoss(), pytest.fail])


def test_losses_that_are_no_longer_finite_leave_a_gap():
    ax = plot_loss(Run([1.0, 2.0, np.inf, np.nan]))
    draw(ax)
    assert np.isfinite(ax.get_ylim()).all()


def test_before_fit_there_is_no_curve_and_no_empty_figure(plt):
    with pytest.raises(ValueError, match="call fit"):
        plot_loss(Run([]))
    assert plt.get_fignums() == []


@pytest.mark.parametrize("wrong", [object(), "loss", 3.0, [[1.0], [2.0]], Run(None)])
def test_something_without_losses_is_refused(wrong):
    with pytest.raises(ValueError, match="loss_list"):
        plot_loss(wrong)


# Which axes


def every_picture(ax=None):
    x, t = points()
    yield plot_loss([1.0], ax=ax)
    yield plot_decision_boundary(Net(), x, t, h=0.1, ax=ax)
    yield plot_descent(descent(0.1), ax=ax)


def test_given_axes_are_drawn_on_and_returned(plt):
    figure, (left, right) = plt.subplots(1, 2)
    assert all(ax is left for ax in every_picture(left))
    assert left.has_data()
    assert not right.has_data()
    assert plt.get_fignums() == [figure.number]


def test_each_picture_gets_a_figure_of_its_own(plt):
    assert len({ax.figure.number for ax in every_picture()}) == 3
    assert len(plt.get_fignums()) == 3


def test_an_empty_figure_that_the_script_opened_is_filled(plt):
    figure = plt.figure()
    assert plot_loss([1.0]).figure is figure
    assert plt.get_fignums() == [figure.number]


def test_no_settings_are_changed(plt):
    before = dict(plt.rcParams)
    for ax in every_picture():
        draw(ax)
    assert dict(plt.rcParams) == before


# The decision regions


@pytest.mark.parametrize("h", [0.013, 0.05, 0.7, 5.0])
def test_regions_equal_classifying_the_whole_grid_at_once(h):
    x, _ = points()
    model = Net()
    xx, yy, classes = decision_regions(model, x, h=h)
    (x_min, y_min), (x_max, y_max) = x.min(axis=0), x.max(axis=0)
    np.testing.assert_array_equal(xx, np.arange(x_min - 0.1, x_max + 0.1, h))
    np.testing.assert_array_equal(yy, np.arange(y_min - 0.1, y_max + 0.1, h))
    grid = np.meshgrid(xx, yy)
    scores = model.predict(np.c_[grid[0].ravel(), grid[1].ravel()])
    assert classes.shape == (yy.size, xx.size)
    np.testing.assert_array_equal(classes, scores.argmax(axis=1).reshape(grid[0].shape))


@pytest.mark.parametrize(
    ("far", "shape"),
    [
        ((10.1496, 0), (1, 10151)),
        ((0, 10.1496), (10151, 1)),
        ((0, 0), (1, 1)),
        ((1.1496, 6.2056), (6207, 1151)),
    ],
    ids=["one row", "one column", "one point", "odd sides"],
)
def test_grids_of_any_shape_are_classified_point_by_point(far, shape):
    def chequers(x, y):
        return (np.floor(997 * x) + np.floor(991 * y)) % 2

    model = Returns(lambda p: np.stack([np.full(len(p), 0.5), chequers(p[:, 0], p[:, 1])], axis=1))
    xx, yy, classes = decision_regions(model, [(0, 0), far], h=0.001, margin=0.0005)
    assert classes.shape == shape
    np.testing.assert_array_equal(classes, chequers(xx, yy[:, None]))


def test_the_default_grid_is_a_few_hundred_points_a_side_whatever_the_scale():
    x, _ = points()
    for scale in ([1, 1], [1, 1000], [1e-3, 1e6]):
        _, _, classes = decision_regions(Net(), x * scale)
        assert 400 <= min(classes.shape) <= max(classes.shape) <= 600


def test_predict_gets_small_contiguous_float64_blocks():
    model = Net()
    decision_regions(model, np.float32([[-1, -1], [1, 1]]), h=0.01)
    shapes, dtypes, contiguous = zip(*model.calls, strict=True)
    assert sum(rows for rows, _ in shapes) == 220 * 220
    assert max(rows for rows, _ in shapes) < 10_000
    assert {columns for _, columns in shapes} == {2}
    assert set(dtypes) == {np.dtype(np.float64)}
    assert all(contiguous)


def test_a_model_may_keep_the_points_it_was_given():
    kept = []
    decision_regions(Returns(lambda p: kept.append(p) or p), [[-1, -1], [1, 1]], h=0.02)
    assert len(kept) > 1
    assert len(np.unique(np.concatenate(kept), axis=0)) == 110 * 110


def test_more_classes_than_a_byte_counts():
    model = Returns(lambda p: np.eye(300)[np.where(p[:, 0] > 0, 299, 7)])
    _, _, classes = decision_regions(model, [[-1, -1], [1, 1]], h=0.1)
    assert set(classes.ravel()) == {7, 299}


@pytest.mark.long
def test_the_notes_grid_of_nearly_five_million_points_stays_small():
    model = Returns(Net().predict)
    tracemalloc.start()
    try:
        _, _, classes = decision_regions(model, [[-1, -1], [1, 1]], h=0.001)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert classes.size > 4.8e6
    assert peak < 20e6  # the classes are 4.84 MB; one float64 grid alone would be 77


@pytest.mark.parametrize(
    "predict",
    [
        lambda p: p[:, :1],
        lambda p: p[:, 0],
        lambda p: p[:-1],
        lambda p: p[:, None, :],
        lambda p: 0.5,
    ],
    ids=["one column", "1-D", "a row short", "3-D", "a number"],
)
def test_scores_of_another_shape_are_refused(predict):
    with pytest.raises(ValueError, match=r"predict must return .* shape \(\d+, C\) with C >= 2; got shape"):
        decision_regions(Returns(predict), [[-1, -1], [1, 1]], h=0.01)


def test_a_number_of_classes_that_changes_is_refused():
    model = Returns(lambda p: np.zeros((len(p), 3 if p[0, 1] > 0 else 2)))
    with pytest.raises(ValueError, match="2 scores per point, then 3"):
        decision_regions(model, [[-1, -1], [1, 1]], h=0.01)


def test_a_model_that_diverged_is_not_drawn_as_class_0():
    with pytest.raises(ValueError, match="NaN"):
        decision_regions(Returns(lambda p: np.full((len(p), 3), np.nan)), [[-1, -1], [1, 1]])


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([1.0, 2.0], {}, r"x must be .*\(N, 2\).*got shape \(2,\)"),
        (np.zeros((4, 3)), {}, r"got shape \(4, 3\)"),
        (np.zeros((0, 2)), {}, r"got shape \(0, 2\)"),
        ([[1.0, 2.0], [3.0]], {}, "x must be"),
        ([["a", "b"]], {}, "x must be"),
        ([[1.0, np.nan]], {}, "x must contain only finite"),
        ([[0.0, 1.0]], {"h": 0}, "h must be"),
        ([[0.0, 1.0]], {"h": -0.1}, "h must be"),
        ([[0.0, 1.0]], {"h": np.nan}, "h must be"),
        ([[0.0, 1.0]], {"margin": -1}, "margin must be"),
        ([[0.0, 1.0], [2.0, 1.0]], {"margin": 0}, "larger margin"),
    ],
)
def test_points_and_grids_that_make_no_sense_are_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        decision_regions(Net(), x, **options)


# The decision boundary


def colours(ax, places):
    """The pixels of the finished picture at places given in data coordinates."""
    draw(ax)
    image = np.asarray(ax.figure.canvas.buffer_rgba())
    columns, rows = ax.transData.transform(places).astype(int).T
    return image[len(image) - 1 - rows, columns].astype(int)


CORNERS = [[-1, -1], [1, 1]]


@pytest.mark.parametrize("options", [{}, {"h": 0.1}, {"h": 0.001}, {"margin": 0.5}], ids=str)
def test_regions_lie_where_the_model_says(options):
    quarters = Returns(lambda p: np.eye(4)[2 * (p[:, 1] > 0) + (p[:, 0] > 0)])
    ax = plot_decision_boundary(quarters, CORNERS, [0, 3], **options)
    tints = set()
    for label, (x, y) in enumerate([(-1, -1), (1, -1), (-1, 1), (1, 1)]):
        only = Returns(lambda p, label=label: np.eye(4)[np.full(len(p), label)])
        (tint,) = colours(plot_decision_boundary(only, CORNERS, [0, 3]), [(0.5, 0.3)]).tolist()
        # Near both borders, in the middle, and at an edge that is away from points and legend.
        seen = colours(ax, [(0.1 * x, 0.1 * y), (0.5 * x, 0.5 * y), (1.05 * x, 0.3 * y)])
        assert seen.tolist() == [tint] * 3
        tints.add(tuple(tint))
    assert len(tints) == 4


@pytest.mark.parametrize("h", [0.3, 0.01, 0.001])
def test_each_pixel_of_the_image_is_centred_on_its_grid_point(h):
    x = [[0, 0], [2.37, 0.5]]
    xx, yy, _ = decision_regions(Net(), x, h=h)
    (image,) = plot_decision_boundary(Net(), x, [0, 1], h=h).images
    left, right, bottom, top = image.get_extent()
    rows, columns = image.get_array().shape
    assert left + (right - left) / columns / 2 == pytest.approx(xx[0])
    assert bottom + (top - bottom) / rows / 2 == pytest.approx(yy[0])
    assert (right - left) / columns == pytest.approx((top - bottom) / rows)
    assert right == pytest.approx(2.47, abs=1.5 * h)


@pytest.mark.long
def test_drawing_the_notes_grid_takes_little_memory():
    model = Returns(Net().predict)
    draw(plot_loss([1.0]))  # what matplotlib loads once is not counted
    tracemalloc.start()
    try:
        draw(plot_decision_boundary(model, CORNERS, [0, 1], h=0.001))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6


def test_shapes_are_true_unless_the_axes_measure_different_things():
    x, t = points()
    assert plot_decision_boundary(Net(), x, t, h=0.1).get_aspect() == 1
    assert plot_decision_boundary(Net(), x * [1, 1000], t).get_aspect() == "auto"


def test_no_third_class_appears_along_a_border():
    ends = Returns(lambda p: np.stack([p[:, 0] < 0, np.zeros(len(p)), p[:, 0] >= 0], axis=1))
    middle = Returns(lambda p: np.stack([np.zeros(len(p)), np.ones(len(p))], axis=1))
    border = colours(plot_decision_boundary(ends, CORNERS, [0, 2]), [(x, 0.3) for x in np.linspace(-1, 1, 999)])
    (other,) = colours(plot_decision_boundary(middle, CORNERS, [0, 1]), [(0.5, 0.3)])
    assert (abs(border - border[0]).max(axis=1) > 10).any()
    lowest, highest = np.minimum(border[0], border[-1]) - 1, np.maximum(border[0], border[-1]) + 1
    assert ((lowest <= border) & (border <= highest)).all()
    assert (abs(border - other).max(axis=1) > 10).all()


def test_points_are_drawn_by_class_with_the_books_markers():
    x, t = points()
    ax = plot_decision_boundary(Net(), x, t, h=0.1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["class 0", "class 1", "class 2"]
    assert not ax.axison
    shapes = set()
    for label, drawn in enumerate(ax.collections):
        np.testing.assert_array_equal(drawn.get_offsets(), x[t == label])
        shapes.add(drawn.get_paths()[0].vertices.tobytes())
    assert len(ax.collections) == len(shapes) == 3


@pytest.mark.parametrize(
    "encode",
    [
        lambda t: np.eye(3, dtype=np.int32)[t],
        lambda t: np.eye(3)[t],
        lambda t: t.tolist(),
        lambda t: t[:, None],
        lambda t: t.astype(np.float32),
        lambda t: t.astype(np.uint8),
    ],
    ids=["one-hot int", "one-hot float", "list", "column", "float", "uint8"],
)
def test_labels_may_be_indices_or_one_hot(encode):
    x, t = points()
    ax = plot_decision_boundary(Net(), x, encode(t), h=0.1)
    for label, drawn in enumerate(ax.collections):
        np.testing.assert_array_equal(drawn.get_offsets(), x[t == label])


def test_ten_classes_look_different():
    x, _ = points()
    ax = plot_decision_boundary(Net(10), x, np.arange(60) % 10, h=0.1)
    draw(ax)
    assert len({tuple(drawn.get_facecolor()[0]) for drawn in ax.collections}) == 10


def test_very_many_classes_are_drawn_without_a_legend():
    x, _ = points()
    ax = plot_decision_boundary(Net(60), x, np.arange(60), h=0.1)
    draw(ax)
    assert ax.get_legend() is None


def test_a_coarse_grid_hides_no_point():
    x, t = points()
    ax = plot_decision_boundary(Net(), x, t, h=1.5)
    draw(ax)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert ((left < x[:, 0]) & (x[:, 0] < right) & (bottom < x[:, 1]) & (x[:, 1] < top)).all()


@pytest.mark.parametrize(
    ("t", "message"),
    [
        ([0, 1], r"one label per point.*got shape \(2,\)"),
        (np.zeros((59, 3)), r"got shape \(59, 3\)"),
        (1, r"got shape \(\)"),
        ([-1] + [0] * 59, "label 0 is -1"),
        ([0, 0.5] + [0] * 58, r"label 1 is 0\.5"),
        ([0, np.inf] + [0] * 58, "label 1 is inf"),
        (["cat"] * 60, "dtype <U3"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_anything_is_drawn(plt, t, message):
    with pytest.raises(ValueError, match=message):
        plot_decision_boundary(Net(), points()[0], t)
    assert plt.get_fignums() == []


# Gradient descent


def steps_of(ax):
    (line,) = [line for line in ax.get_lines() if line.get_label().endswith("steps")]
    return line.get_xydata()


def says(ax):
    legend = ax.get_legend()
    return legend.get_title().get_text() + " " + " ".join(text.get_text() for text in legend.get_texts())


@pytest.mark.parametrize("lr", [0.1, 0.01])
def test_a_descent_is_drawn_whole_around_zero(lr):
    path = descent(lr)
    ax = plot_descent(path)
    np.testing.assert_array_equal(steps_of(ax), path)
    assert "diverged" not in says(ax)
    assert "100 steps" in says(ax)
    for low, high in (ax.get_xlim(), ax.get_ylim()):
        assert low == -high
        assert 4 < high < 8
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("X0", "X1")


def test_contours_are_those_of_f():
    def sides(f):
        ax = plot_descent(descent(0.1), f)
        (contours,) = ax.collections
        rings = [path.vertices for path in contours.get_paths() if len(path.vertices)]
        inner = rings[1]  # the first level that is not the minimum itself
        return np.ptp(inner, axis=0)

    wide, tall = sides(None)
    assert wide == pytest.approx(tall, rel=1e-3)
    wide, tall = sides(lambda x: x[0] ** 2 + 9 * x[1] ** 2)
    assert wide == pytest.approx(3 * tall, rel=0.05)


def test_a_diverging_path_stays_readable_and_says_so():
    path = descent(10.0)
    assert abs(path).max() > 1e100
    ax = plot_descent(path)
    draw(ax)
    assert "diverged" in says(ax)
    assert "e+1" in says(ax)  # where it went
    right, top = ax.get_xlim()[1], ax.get_ylim()[1]
    inside = (abs(steps_of(ax)) < [right, top]).all(axis=1)
    assert inside.sum() >= 2  # the start and the first overshoot
    assert not inside.all()  # and the line leaves the picture
    np.testing.assert_array_equal(steps_of(ax)[inside], path[: inside.sum()])
    assert 4 < top < 200


@pytest.mark.parametrize("tail", [[], [[1e300, -1e305]]], ids=["at once", "by way of the largest"])
@pytest.mark.parametrize("end", [[np.inf, -np.inf], [np.nan, np.nan], [1e308, -1e308]], ids=str)
def test_a_path_that_leaves_the_numbers_is_drawn(tail, end):
    ax = plot_descent([[-3.0, 4.0], [57.0, -76.0], *tail, end])
    draw(ax)
    assert "diverged" in says(ax)
    assert np.isfinite(steps_of(ax)).all()
    np.testing.assert_array_equal(steps_of(ax)[:2], [[-3.0, 4.0], [57.0, -76.0]])
    assert 76 < ax.get_ylim()[1] < 200


def test_a_slow_divergence_is_named_and_a_bounce_is_not():
    assert "diverged" in says(plot_descent(descent(1.01)))
    bounce = descent(1.0)
    bounce[-1] *= 1 + 1e-9  # as rounding does
    assert "diverged" not in says(plot_descent(bounce))


def test_a_learning_rate_that_hardly_moves_is_seen_to_hardly_move():
    ax = plot_descent(descent(1e-5))
    assert ax.get_xlim()[1] > 4


def test_a_path_far_from_zero_fills_its_picture():
    def f(x):
        return (x[0] - 500) ** 2 + (x[1] + 300) ** 2

    path = np.array([500, -300]) + descent(0.1)
    ax = plot_descent(path, f)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < 497 < 500 < right
    assert bottom < -300 < -296 < top
    assert right - left < 10
    assert "diverged" not in says(ax)


@pytest.mark.parametrize(
    ("path", "f"),
    [
        ([[0.0, 0.0]], None),
        ([[2.0, 1.0], [2.0, 1.0]], lambda x: 7.0),
        ([[2.0, 1.0], [1.0, 1.0]], lambda x: np.log(x[0]) + x[1] ** 2),
        ([[2.0, 1.0], [1.0, 1.0]], lambda x: np.nan),
        (descent(0.1, start=(0.0, -4.0)), lambda x: np.array([np.sum(x**2)])),
    ],
    ids=["no step", "flat f", "f undefined in places", "f undefined", "f returns an array of one"],
)
def test_unusual_paths_and_functions_are_drawn(path, f):
    ax = plot_descent(path, f)
    draw(ax)
    assert ax.get_xlim()[0] < ax.get_xlim()[1]


@pytest.mark.parametrize(
    ("path", "f", "message"),
    [
        (np.zeros(2), None, r"path must be .*got shape \(2,\)"),
        (np.zeros((5, 3)), None, r"got shape \(5, 3\)"),
        ((np.zeros(2), np.zeros((5, 2))), None, "second result of gradient_descent"),
        ([[np.nan, 0.0], [0.0, 0.0]], None, "start at a finite point"),
        (np.zeros((5, 2)), lambda x: x, r"f must return one number.*got shape \(2,\)"),
    ],
)
def test_paths_and_functions_of_the_wrong_kind_are_refused(plt, path, f, message):
    with pytest.raises(ValueError, match=message):
        plot_descent(path, f)
    assert plt.get_fignums() == []


# matplotlib


def test_importing_the_module_does_not_import_matplotlib():
    assert fresh("import sys, scratchnet.plotting; print('matplotlib' in sys.modules)") == "False\n"


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    x, t = points()
    with monkeypatch.context() as without:
        for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.colors"):
            without.setitem(sys.modules, name, None)
        for call in (
            lambda: plot_loss([1.0]),
            lambda: plot_decision_boundary(Net(), x, t, h=0.1),
            lambda: plot_descent(descent(0.1)),
        ):
            with pytest.raises(ImportError, match=r"pip install \"scratchnet\[plot\]\""):
                call()
        xx, _, _ = decision_regions(Net(), x, h=0.1)  # the numbers need no matplotlib
    assert xx.size > 1


def test_axes_that_are_several_or_none_are_refused(plt):
    for ax in (plt.subplots(1, 2)[1], 5):
        with pytest.raises(ValueError, match="ax must be axes of matplotlib, one of them, got "):
            plot_loss([1.0, 0.5], ax=ax)
