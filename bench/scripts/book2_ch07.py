# Book 2, chapter 7: sums as text, from sequence to sequence.
import sys

import numpy as np
from common.optimizer import Adam
from common.trainer import Trainer
from common.util import eval_seq2seq
from dataset import sequence
from sums import Seq2seq

questions = int(sys.argv[1]) if len(sys.argv) > 1 else 3072
(x_train, t_train), (x_test, t_test) = sequence.load_data("addition.txt", seed=1984)
char_to_id, id_to_char = sequence.get_vocab()
np.random.seed(0)
model = Seq2seq(len(char_to_id), 16, 128)
trainer = Trainer(model, Adam())
trainer.fit(x_train[:questions], t_train[:questions], max_epoch=2, batch_size=128, max_grad=5.0, eval_interval=1)
right = 0
for i in range(min(500, questions // 8)):
    right += eval_seq2seq(model, x_test[[i]], t_test[[i]], id_to_char, i < 10, False)
print(trainer.loss_list)
