"""What scripts rely on without saying so: the books' names and arguments, and manners that no other file tests."""

from __future__ import annotations

import importlib
import inspect
import os

import numpy as np
import pytest
from processes import fresh

from scratchnet import functions, layers, time_layers, util
from scratchnet.book1 import layers as layers1
from scratchnet.book1 import optimizer as optimizer1
from scratchnet.book1.multi_layer_net import MultiLayerNet
from scratchnet.book1.trainer import Trainer as Trainer1
from scratchnet.optimizer import SGD
from scratchnet.time_layers import GRU, LSTM, RNN, TimeBiLSTM, TimeEmbedding, TimeGRU, TimeLSTM, TimeRNN
from scratchnet.trainer import RnnlmTrainer, Trainer

# The books' modules, and their functions, classes and methods as the books declare them

BOOKS = {
    "functions": "sigmoid(x) relu(x) softmax(x) cross_entropy_error(y,t)",
    "layers": """
        MatMul(W) Affine(W,b) Softmax() SoftmaxWithLoss() Sigmoid() SigmoidWithLoss() Embedding(W)
        Dropout(dropout_ratio=0.5) Dropout.forward(x,train_flg=True) Dropout.backward(dout)
        MatMul.forward(x) MatMul.backward(dout) Affine.forward(x) Affine.backward(dout)
        Softmax.forward(x) Softmax.backward(dout) Sigmoid.forward(x) Sigmoid.backward(dout)
        SoftmaxWithLoss.forward(x,t) SoftmaxWithLoss.backward(dout=1)
        SigmoidWithLoss.forward(x,t) SigmoidWithLoss.backward(dout=1)
        Embedding.forward(idx) Embedding.backward(dout)
    """,
    "time_layers": """
        RNN(Wx,Wh,b) RNN.forward(x,h_prev) RNN.backward(dh_next)
        LSTM(Wx,Wh,b) LSTM.forward(x,h_prev,c_prev) LSTM.backward(dh_next,dc_next)
        GRU(Wx,Wh,b) GRU.forward(x,h_prev) GRU.backward(dh_next)
        TimeRNN(Wx,Wh,b,stateful=False) TimeRNN.set_state(h) TimeRNN.reset_state()
        TimeLSTM(Wx,Wh,b,stateful=False) TimeLSTM.set_state(h,c=None) TimeLSTM.reset_state()
        TimeGRU(Wx,Wh,b,stateful=False) TimeGRU.set_state(h) TimeGRU.reset_state()
        TimeBiLSTM(Wx1,Wh1,b1,Wx2,Wh2,b2,stateful=False) TimeEmbedding(W) TimeAffine(W,b)
        TimeDropout(dropout_ratio=0.5)
        TimeSoftmaxWithLoss() TimeSoftmaxWithLoss.forward(xs,ts) TimeSoftmaxWithLoss.backward(dout=1)
        TimeSigmoidWithLoss() Simple_TimeSoftmaxWithLoss() Simple_TimeAffine(W,b)
    """,
    "optimizer": """
        SGD(lr=0.01) Momentum(lr=0.01,momentum=0.9) Nesterov(lr=0.01,momentum=0.9) AdaGrad(lr=0.01)
        RMSprop(lr=0.01,decay_rate=0.99) Adam(lr=0.001,beta1=0.9,beta2=0.999) SGD.update(params,grads)
    """,
    "trainer": """
        Trainer(model,optimizer) Trainer.plot(ylim=None) RnnlmTrainer(model,optimizer) RnnlmTrainer.plot(ylim=None)
        Trainer.fit(x,t,max_epoch=10,batch_size=32,max_grad=None,eval_interval=20)
        RnnlmTrainer.fit(xs,ts,max_epoch=10,batch_size=20,time_size=35,max_grad=None,eval_interval=20)
        RnnlmTrainer.get_batch(x,t,batch_size,time_size) remove_duplicate(params,grads)
    """,
    "util": """
        preprocess(text) cos_similarity(x,y,eps=1e-8) convert_one_hot(corpus,vocab_size) normalize(x)
        most_similar(query,word_to_id,id_to_word,word_matrix,top=5) ppmi(C,verbose=False,eps=1e-8)
        create_co_matrix(corpus,vocab_size,window_size=1) create_contexts_target(corpus,window_size=1)
        to_cpu(x) to_gpu(x) clip_grads(grads,max_norm) eval_perplexity(model,corpus,batch_size=10,time_size=35)
        eval_seq2seq(model,question,correct,id_to_char,verbose=False,is_reverse=False)
        analogy(a,b,c,word_to_id,id_to_word,word_matrix,top=5,answer=None)
    """,
    "base_model": """
        BaseModel() BaseModel.save_params(file_name=None) BaseModel.load_params(file_name=None)
        BaseModel.forward(*args) BaseModel.backward(*args)
    """,
    "dataset.spiral": "load_data(seed=1984)",
    "dataset.ptb": "load_data(data_type='train') load_vocab()",
    "dataset.sequence": "load_data(file_name='addition.txt',seed=1984) get_vocab()",
    "book1.functions": """
        identity_function(x) step_function(x) sigmoid(x) sigmoid_grad(x) relu(x) relu_grad(x) softmax(x)
        sum_squared_error(y,t) mean_squared_error(y,t) sum_squares_error(y,t) cross_entropy_error(y,t)
        softmax_loss(X,t)
    """,
    "book1.gradient": "numerical_gradient(f,x) numerical_gradient_2d(f,X) _numerical_gradient_1d(f,x)",
    "book1.layers": """
        Relu() Sigmoid() Affine(W,b) SoftmaxWithLoss() SoftmaxWithLoss.forward(x,t)
        SoftmaxWithLoss.backward(dout=1)
        Dropout(dropout_ratio=0.5) Dropout.forward(x,train_flg=True)
        BatchNormalization(gamma,beta,momentum=0.9,running_mean=None,running_var=None)
        BatchNormalization.forward(x,train_flg=True) BatchNormalization.backward(dout)
        Convolution(W,b,stride=1,pad=0) Convolution.forward(x) Convolution.backward(dout)
        Pooling(pool_h,pool_w,stride=2,pad=0) Pooling.forward(x) Pooling.backward(dout)
    """,
    "book1.optimizer": """
        SGD(lr=0.01) Momentum(lr=0.01,momentum=0.9) Nesterov(lr=0.01,momentum=0.9) AdaGrad(lr=0.01)
        RMSprop(lr=0.01,decay_rate=0.99) Adam(lr=0.001,beta1=0.9,beta2=0.999) SGD.update(params,grads)
    """,
    "book1.trainer": """
        Trainer(network,x_train,t_train,x_test,t_test,epochs=20,mini_batch_size=100,optimizer='SGD',optimizer_param,evaluate_sample_num_per_epoch=None,verbose=True)
        Trainer.train() Trainer.train_step()
    """,
    "book1.util": """
        smooth_curve(x) shuffle_dataset(x,t) conv_output_size(input_size,filter_size,stride=1,pad=0)
        im2col(input_data,filter_h,filter_w,stride=1,pad=0)
        col2im(col,input_shape,filter_h,filter_w,stride=1,pad=0)
    """,
    "book1.multi_layer_net": """
        MultiLayerNet(input_size,hidden_size_list,output_size,activation='relu',weight_init_std='relu',weight_decay_lambda=0)
        MultiLayerNet.predict(x) MultiLayerNet.loss(x,t) MultiLayerNet.accuracy(x,t)
        MultiLayerNet.numerical_gradient(x,t) MultiLayerNet.gradient(x,t)
    """,
    "book1.multi_layer_net_extend": """
        MultiLayerNetExtend(input_size,hidden_size_list,output_size,activation='relu',weight_init_std='relu',weight_decay_lambda=0,use_dropout=False,dropout_ration=0.5,use_batchnorm=False)
        MultiLayerNetExtend.predict(x,train_flg=False) MultiLayerNetExtend.loss(x,t,train_flg=False)
        MultiLayerNetExtend.gradient(x,t) MultiLayerNetExtend.accuracy(x,t)
    """,
    "book1.dataset.mnist": """
        load_mnist(normalize=True,flatten=True,one_hot_label=False) init_mnist() download_mnist()
    """,
}  # fmt: skip


@pytest.mark.parametrize("module", BOOKS)
def test_calls_as_the_books_write_them_fit(module):
    """Names, places and defaults; more arguments may follow, none that must be given."""
    home = importlib.import_module(f"scratchnet.{module}")
    for declared in BOOKS[module].split():
        path, arguments = declared.rstrip(")").split("(")
        found = home
        for name in path.split("."):
            found = getattr(found, name)
        own = list(inspect.signature(found).parameters.values())
        if "." in path:
            own = own[1:]
        expected = [part.partition("=") for part in arguments.split(",") if part]
        assert [("*" if p.kind is p.VAR_POSITIONAL else "") + p.name for p in own[: len(expected)]] == [
            name for name, _, _ in expected
        ], declared
        for parameter, (_, given, default) in zip(own, expected, strict=False):
            if given:
                assert parameter.default == eval(default), declared
        assert all(
            p.kind in (p.VAR_POSITIONAL, p.KEYWORD_ONLY) or p.default is not p.empty for p in own[len(expected) :]
        ), declared


@pytest.mark.parametrize(
    "module, names",
    [
        ("dataset.ptb", "url_base key_file save_file vocab_file dataset_dir"),
        ("dataset.sequence", "id_to_char char_to_id"),
        ("book1.dataset.mnist", "url_base key_file dataset_dir save_file train_num test_num img_dim img_size"),
    ],
)
def test_what_the_data_sets_modules_say_of_their_files(module, names):
    home = importlib.import_module(f"scratchnet.{module}")
    for name in names.split():
        assert getattr(home, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        home.nothing  # noqa: B018


def test_files_of_a_download_lie_where_the_modules_say(tmp_path, monkeypatch):
    from scratchnet.book1.dataset import mnist
    from scratchnet.dataset import ptb

    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    os.makedirs(ptb.dataset_dir)
    with open(os.path.join(ptb.dataset_dir, ptb.key_file["train"]), "w") as file:
        file.write(" one two one \n")
    assert ptb.load_data("train")[0].tolist() == [0, 1, 0, 2]
    assert sorted(os.listdir(ptb.dataset_dir)) == ["ptb.train.txt"]  # neither save_file nor vocab_file
    assert os.path.dirname(mnist.save_file) == mnist.dataset_dir and str(tmp_path) in mnist.dataset_dir
    assert set(mnist.key_file) == {"train_img", "train_label", "test_img", "test_label"}


# Book 2


def randn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


D, H, V = 4, 3, 7
WEIGHTED = {
    "MatMul": (lambda: layers.MatMul(randn(D, H)), randn(5, D)),
    "Affine": (lambda: layers.Affine(randn(D, H), randn(H)), randn(5, D)),
    "Embedding": (lambda: layers.Embedding(randn(V, D)), np.array([1, 0, 1])),
    "TimeEmbedding": (lambda: TimeEmbedding(randn(V, D)), np.array([[1, 0], [1, 6]])),
    "TimeAffine": (lambda: time_layers.TimeAffine(randn(D, H), randn(H)), randn(2, 3, D)),
    "TimeRNN": (lambda: TimeRNN(randn(D, H), randn(H, H), randn(H)), randn(2, 3, D)),
    "TimeLSTM": (lambda: TimeLSTM(randn(D, 4 * H), randn(H, 4 * H), randn(4 * H)), randn(2, 3, D)),
    "TimeGRU": (lambda: TimeGRU(randn(D, 3 * H), randn(H, 3 * H), randn(3 * H)), randn(2, 3, D)),
    "TimeBiLSTM": (
        lambda: TimeBiLSTM(*2 * (randn(D, 4 * H), randn(H, 4 * H), randn(4 * H))),
        randn(2, 3, D),
    ),
}


@pytest.mark.parametrize("make, x", WEIGHTED.values(), ids=WEIGHTED)
def test_a_model_may_collect_params_and_grads_once(make, x):
    """Updates of the collected arrays are seen by forward; backward overwrites the collected gradients."""
    layer = make()
    params, grads = list(layer.params), list(layer.grads)
    before = layer.forward(x)
    for _ in range(2):
        out = layer.forward(x)
        layer.backward(np.ones_like(out))
    once = make()
    once.backward(np.ones_like(once.forward(x)))
    for kept, now, single in zip(grads, layer.grads, once.grads, strict=True):
        assert kept is now
        np.testing.assert_array_equal(kept, single)
    SGD(0.1).update(params, grads)
    assert all(kept is now for kept, now in zip(params, layer.params, strict=True))
    assert not np.array_equal(layer.forward(x), before)


def test_weights_are_kept_by_reference():
    W, Wx, Wh, b = randn(V, D), randn(D, H), randn(H, H), randn(H)
    for layer in (layers.Embedding(W), TimeEmbedding(W), layers.MatMul(W)):
        assert layer.params[0] is W and layer.W is W
    for make in (RNN, TimeRNN):
        assert [id(p) for p in make(Wx, Wh, b).params] == [id(Wx), id(Wh), id(b)]
    layer = TimeEmbedding(W)
    layer.W = np.zeros((V, D))
    assert not layer.forward(np.array([[1]])).any()


def test_remove_duplicate_adds_into_the_first_gradient_and_leaves_the_lists():
    W, other = randn(2, 3), randn(3)
    params, grads = (
        [W, other, W, W.T],
        [np.full(s, float(k)) for k, s in enumerate([(2, 3), 3, (2, 3), (3, 2)], 1)],
    )
    lists = list(params), list(grads)
    kept_params, kept_grads = util.remove_duplicate(params, grads)
    assert [id(p) for p in kept_params] == [id(W), id(other)] and kept_grads[0] is grads[0]
    np.testing.assert_array_equal(grads[0], 1 + 3 + 4)
    assert all(map(lambda a, b: a is b, [*params, *grads], [*lists[0], *lists[1]]))


@pytest.mark.parametrize("by_value", [False, True])
def test_equal_arrays_that_are_not_each_other_s_transpose_stay_two(by_value):
    nan = np.full((2, 2), np.nan)
    for first, second in ((np.ones((2, 3)), np.ones((2, 3))), (np.ones(3), np.ones(3)), (nan, nan.copy())):
        assert len(util.remove_duplicate([first, second], [first * 1, second * 1], by_value=by_value)[0]) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_softmax_s_probabilities_are_good_enough_to_draw_from(dtype):
    """Which checks that they add up to 1 within the root of the dtype's eps."""
    for scale in (1e-3, 1, 100):
        p = functions.softmax((scale * randn(10000)).astype(dtype))
        assert p.dtype == dtype and 0 <= np.random.choice(10000, p=p) < 10000


def test_layers_without_weights_have_empty_lists():
    """A model adds all of its layers' lists."""
    for layer in (layers.Sigmoid(), layers.Softmax(), layers.SoftmaxWithLoss(), layers.Dropout()):
        assert layer.params == [] and layer.grads == []


def test_a_gru_without_bias_is_one_with_a_bias_of_zero():
    Wx, Wh, x, h, dh = randn(D, 3 * H), randn(H, 3 * H), randn(2, D), randn(2, H), randn(2, H, seed=1)
    bare, zero = GRU(Wx, Wh), GRU(Wx, Wh, np.zeros(3 * H))
    np.testing.assert_array_equal(bare.forward(x, h), zero.forward(x, h))
    for a, b in zip((*bare.backward(dh), *bare.grads), (*zero.backward(dh), *zero.grads[:2]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_lstm_s_state_may_be_taken_and_put_back():
    """As chapter 7's beam of texts does."""
    layer = TimeLSTM(randn(D, 4 * H), randn(H, 4 * H), randn(4 * H), stateful=True)
    layer.forward(randn(1, 2, D))
    state = layer.h.copy(), layer.c.copy()
    first = layer.forward(randn(1, 1, D))
    layer.set_state(*state)
    np.testing.assert_array_equal(layer.forward(randn(1, 1, D)), first)
    one = LSTM(*layer.params).forward(randn(1, 1, D)[:, 0], *state)
    np.testing.assert_allclose(one[0], first[:, 0], rtol=1e-14)


def test_book_2_s_nesterov_moves_the_velocity_before_the_parameters():
    code = (
        "import numpy as np; import scratchnet.dropin; scratchnet.dropin.install(2);"
        "from common.optimizer import Nesterov as N, SGD;"
        "import scratchnet.optimizer as s; assert SGD is s.SGD and N is not s.Nesterov;"
        "from common.optimizer import *; assert Nesterov is N;"
        "params, o = [np.array([1.0, -2.0]), 3.0], N(0.1, momentum=0.8);"
        "[o.update(params, [np.array([0.5, 0.25]) * k, -1.0 * k]) for k in (1, 2, 3)];"
        "print(*params[0].tolist(), params[1])"
    )
    printed = fresh(code)
    p, v = np.array([1.0, -2.0, 3.0]), np.zeros(3)
    for k in (1, 2, 3):
        g = np.array([0.5, 0.25, -1.0]) * k
        v = 0.8 * v - 0.1 * g
        p += 0.8**2 * v - 1.8 * 0.1 * g
    np.testing.assert_allclose([float(n) for n in printed.split()], p, rtol=1e-14)


def test_trainers_have_their_attributes_before_they_train():
    class Model:
        params, grads = [np.zeros(1)], [np.zeros(1)]

        def forward(self, x, t):
            return 0.0

        def backward(self):
            pass

    model, optimizer = Model(), SGD()
    trainer, rnnlm = Trainer(model, optimizer), RnnlmTrainer(model, optimizer)
    assert trainer.loss_list == [] and rnnlm.ppl_list is not None and rnnlm.time_idx is not None
    for each in (trainer, rnnlm):
        assert each.model is model and each.optimizer is optimizer
        assert each.current_epoch == 0 and each.eval_interval is None


# Book 1


def test_every_backward_makes_new_gradients():
    """A script may keep those of one batch beside those of the next."""
    cases = (
        (layers1.Affine(randn(D, H), randn(H)), randn(2, D), ("dW", "db")),
        (layers1.Convolution(randn(2, 1, 2, 2), randn(2)), randn(3, 1, 4, 4), ("dW", "db")),
        (layers1.BatchNormalization(randn(D), randn(D)), randn(5, D), ("dgamma", "dbeta")),
    )
    for layer, x, names in cases:
        out = layer.forward(x)
        layer.backward(np.ones_like(out))
        first = [getattr(layer, name) for name in names]
        kept = [g.copy() for g in first]
        layer.backward(2 * np.ones_like(out))
        for g, k, name in zip(first, kept, names, strict=True):
            assert getattr(layer, name) is not g
            np.testing.assert_array_equal(g, k)


def test_layers_hold_the_dictionary_s_arrays_and_take_others():
    """SimpleConvNet.load_params puts new ones into `layer.W`; so may a script with batch normalization."""
    W, b, gamma, beta = randn(2, 1, 2, 2), randn(2), randn(D), randn(D)
    convolution, normalization = layers1.Convolution(W, b), layers1.BatchNormalization(gamma, beta)
    assert convolution.W is W and convolution.b is b
    assert normalization.gamma is gamma and normalization.beta is beta
    images, x = randn(1, 1, 3, 3), randn(5, D)
    convolution.W, convolution.b = np.zeros_like(W), np.array([1.0, 2.0])
    np.testing.assert_array_equal(convolution.forward(images)[0, :, 0, 0], [1, 2])
    normalization.gamma, normalization.beta = np.zeros(D), np.ones(D)
    np.testing.assert_array_equal(normalization.forward(x), 1)


def test_a_filter_may_have_a_number_for_its_bias():
    """Chapter 7's script that shows what each filter sees: Convolution(w, 0)."""
    W, image, dout = randn(3, 1, 2, 2), randn(1, 1, 5, 4).astype(np.float32), randn(1, 3, 4, 3)
    for b in (0, 0.5):
        plain, array = layers1.Convolution(W, b), layers1.Convolution(W, np.full(3, float(b)))
        np.testing.assert_array_equal(plain.forward(image), array.forward(image))
        np.testing.assert_array_equal(plain.backward(dout), array.backward(dout))
        np.testing.assert_array_equal(plain.db, array.db)


def test_an_update_in_place_is_seen_by_the_layers():
    """The books' loops write `params[key] -= lr * grads[key]`, and so do the optimizers."""
    net, x, t = MultiLayerNet(D, [5], 3), randn(6, D).astype(np.float32), np.array([0, 1, 2, 0, 1, 2], np.uint8)
    arrays, before = dict(net.params), net.loss(x, t)
    grads = net.gradient(x, t)
    assert all(g.dtype == np.float64 for g in grads.values())  # float32 samples, float64 weights
    for key in net.params:
        net.params[key] -= 0.1 * grads[key]
    after = net.loss(x, t)
    optimizer1.SGD(0.1).update(net.params, net.gradient(x, t))
    assert net.loss(x, t) < after < before
    assert all(net.params[key] is array for key, array in arrays.items())


@pytest.mark.parametrize("given", ["sgd", "RMSprop", "rmsprpo", "AdaGrad", "nesterov"])
def test_the_trainer_knows_its_optimizers_by_any_case_and_an_old_spelling(given):
    x, t = randn(20, D), np.zeros(20, int)
    net = MultiLayerNet(D, [], 3)
    trainer = Trainer1(net, x, t, x, t, epochs=1, mini_batch_size=10, optimizer=given, verbose=False)
    assert type(trainer.optimizer).__name__.lower() == given.lower().replace("rpo", "rop")
    assert trainer.optimizer.lr == 0.01 and trainer.network is net and trainer.batch_size == 10
    assert trainer.train_size == 20 and trainer.epochs == 1 and not trainer.verbose
    assert trainer.x_train is x and trainer.t_test is t and trainer.max_iter == 2
    trainer.train()
    assert trainer.current_iter == 2 and len(trainer.train_loss_list) == 2


def test_relu_is_flat_at_zero_in_the_layer_and_not_in_the_function():
    from scratchnet.book1.functions import relu_grad

    layer = layers1.Relu()
    layer.forward(np.zeros(2))
    assert layer.backward(np.ones(2)).tolist() == [0, 0] and relu_grad(np.zeros(2)).tolist() == [1, 1]
