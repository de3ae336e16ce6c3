# Book 2, chapter 4: word vectors by CBOW, with wrong words drawn beforehand.
import sys

import numpy as np
from chapters import WordVectors
from common import layers
from common.optimizer import Adam
from common.trainer import Trainer
from common.util import create_contexts_target
from dataset import ptb

words = int(sys.argv[1]) if len(sys.argv) > 1 else 2600
corpus, word_to_id, id_to_word = ptb.load_data("train")
vocabulary = len(word_to_id)
contexts, target = create_contexts_target(corpus[:words], window_size=5)
np.random.seed(0)
words = np.column_stack((target, np.random.randint(0, vocabulary, (len(target), 5))))
weights = [0.01 * np.random.randn(vocabulary, 100).astype("f") for _ in range(2)]
model = WordVectors(layers, weights, window=5, negatives=5)
trainer = Trainer(model, Adam())
trainer.fit(contexts, words, max_epoch=2, batch_size=100, eval_interval=5)
print(trainer.loss_list)
