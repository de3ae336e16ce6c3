# Book 2, chapter 8: dates, with attention.
import sys

import numpy as np
from common.optimizer import Adam
from common.trainer import Trainer
from common.util import eval_seq2seq
from dataset import sequence
from sums import AttentionSeq2seq

questions = int(sys.argv[1]) if len(sys.argv) > 1 else 384
(x_train, t_train), (x_test, t_test) = sequence.load_data("date.txt", seed=1984)
char_to_id, id_to_char = sequence.get_vocab()
x_train, x_test = x_train[:, ::-1], x_test[:, ::-1]
np.random.seed(0)
model = AttentionSeq2seq(len(char_to_id), 16, 256)
trainer = Trainer(model, Adam())
trainer.fit(x_train[:questions], t_train[:questions], max_epoch=1, batch_size=128, max_grad=5.0, eval_interval=1)
right = 0
for i in range(min(20, questions // 10)):
    right += eval_seq2seq(model, x_test[[i]], t_test[[i]], id_to_char, i < 10, True)
print(trainer.loss_list)
