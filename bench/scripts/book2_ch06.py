# Book 2, chapter 6: a language model over an LSTM.
import sys

import numpy as np
from chapters import LanguageModel
from common import time_layers
from common.optimizer import SGD
from common.trainer import RnnlmTrainer
from dataset import ptb

words = int(sys.argv[1]) if len(sys.argv) > 1 else 12000
corpus, word_to_id, id_to_word = ptb.load_data("train")
V, D, H = len(word_to_id), 100, 100
corpus = corpus[:words]
np.random.seed(0)
shapes = (V, D), (D, 4 * H), (H, 4 * H), (4 * H,), (H, V), (V,)
scales = 0.01, D**-0.5, H**-0.5, 0, H**-0.5, 0
weights = [(scale * np.random.randn(*shape)).astype("f") for scale, shape in zip(scales, shapes, strict=True)]
trainer = RnnlmTrainer(LanguageModel(time_layers, weights), SGD(20.0))
trainer.fit(corpus[:-1], corpus[1:], max_epoch=1, batch_size=20, time_size=35, max_grad=0.25, eval_interval=1)
print(trainer.ppl_list)
