"""The trainer of language models: each batch continues where the previous one ended.

Source: *Deep Learning from Scratch* 2, ch. 5.5.3.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ._arrays import Array, as_array, is_on_gpu
from ._engines import TrainStep
from ._fit_state import are_numbers, is_count, is_interval
from ._rank_fit import SharedText, begin_together, share_epochs, share_streams, take_states
from ._ranks import Ranks
from ._training import LogLines, check_numbers, finish_step_on_interrupt
from ._watching import FirstBackward, LossWatch, check_links
from .checkpoint import ResumableTrainer, begin_fit, checked_checkpoint
from .evaluation import bptt_segments, taken

__all__ = ["RnnlmTrainer"]

_LINES = {
    "en": "| epoch %d |  iter %d / %d | time %d[s] | perplexity %.2f",
    "ko": "| 에폭 %d |  반복 %d / %d | 시간 %d[s] | 퍼플렉서티 %.2f",
}


class RnnlmTrainer(ResumableTrainer):
    """Trains a language model on a text, in batches of consecutive segments (truncated backpropagation).

    Parameters
    ----------
    model
        Any object with forward(xs, ts) -> loss, backward(), params and grads, whose recurrent layers keep their
        state from one batch to the next.
    optimizer
        An object with update(params, grads).
    lang : None, "en" or "ko"
        Language of the log lines; None means the environment variable SCRATCHNET_LANG, else English.
    comm : mpi4py.MPI.Comm, optional
        The ranks that train together, each on its segments of every batch; as for `Trainer`. All have the text.

    Attributes
    ----------
    ppl_list : list of float
        Perplexity since the previous log line, one entry per line of the last fit.
    current_epoch : int
        Whole epochs trained so far, over all calls of fit.
    time_idx : int
        How many words each segment has advanced since fit began.
    eval_interval : int or None
        The one of the last fit.

    Raises
    ------
    ValueError
        The model or the optimizer lacks something that training requires, or the language is unknown.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 5.5.3.

    Examples
    --------
    >>> from scratchnet import SGD, Sequential
    >>> from scratchnet.time_layers import TimeAffine, TimeEmbedding, TimeSoftmaxWithLoss
    >>> layers = [TimeEmbedding(np.eye(3)), TimeAffine(np.zeros((3, 3)), np.zeros(3))]
    >>> trainer = RnnlmTrainer(Sequential(layers, TimeSoftmaxWithLoss()), SGD(lr=1.0))
    >>> words = np.arange(61) % 3
    >>> trainer.fit(words[:-1], words[1:], 20, batch_size=2, time_size=5, verbose=False)
    >>> trainer.ppl_list[-1] < 1.5
    True
    """

    _lists: ClassVar[dict[str, Callable[[Any], bool]]] = {
        "current_epoch": is_count,
        "eval_interval": is_interval,
        "ppl_list": are_numbers,
        "time_idx": is_count,
    }

    def __init__(self, model: Any, optimizer: Any, *, lang: str | None = None, comm: Any = None) -> None:
        super().__init__("RnnlmTrainer", model, optimizer, _LINES, lang)
        self._ranks = Ranks(comm)
        self.time_idx = 0
        self.ppl_list: list[float] = []

    def get_batch(self, x: Any, t: Any, batch_size: int, time_size: int) -> tuple[Array, Array]:
        """Return the next batch of words and of the words after them, (batch_size, time_size) each.

        They are on the device of x and t, the CPU or the GPU; word IDs of any integer dtype become int64.

        Raises
        ------
        ValueError
            A size is not a positive integer, or x has no words.
        """
        x, t = as_array(x, "get_batch: x"), as_array(t, "get_batch: t")
        if x.ndim == 0 or t.ndim == 0 or len(t) < len(x):
            raise ValueError(f"get_batch: x has shape {x.shape} and t {t.shape}, expected the same length")
        positions = bptt_segments(len(x), batch_size, time_size, self.time_idx)
        self.time_idx += time_size
        return taken("get_batch: x", x, positions), taken("get_batch: t", t, positions)

    def fit(
        self,
        xs: Any,
        ts: Any,
        max_epoch: int = 10,
        batch_size: int = 20,
        time_size: int = 35,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
        *,
        verbose: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> None:
        """Train for max_epoch epochs of len(xs) // (batch_size * time_size) steps each.

        Parameters
        ----------
        xs, ts
            Word IDs in the order of the text, and for each the ID of the next word. For a model on the GPU they
            may be on either device; only those on the CPU are checked.
        max_epoch : int
            Number of epochs; 0 does nothing. In a run that goes on from a checkpoint, those before it count.
        batch_size, time_size : int
            Segments per step, and their length.
        max_grad : float, optional
            Largest norm of all gradients together; gradients beyond it are scaled down.
        eval_interval : int or None
            A line is printed and an entry added to `ppl_list` in the first of every `eval_interval` steps of an
            epoch; None means never.
        verbose : bool
            Whether the lines are printed.
        checkpoint : path, optional
            File that is written after each epoch, as by `save_checkpoint`, with the states of stateful layers.
        resume : bool
            Whether the run goes on from that file, if it exists: all is restored, and the end is that of a run
            without interruption, to the bit. The text must be the same; only its length can be checked.

        Raises
        ------
        ValueError
            xs and ts differ in length or are shorter than one batch, an option is invalid, the model's params
            are not those of its layers, or its first backward does not write a gradient. The checkpoint is damaged
            or belongs to another run.
        OSError
            The checkpoint cannot be read or written. Model and trainer remain usable, and so does an older file.
        KeyboardInterrupt
            After Ctrl-C, once the running step has finished; model and trainer remain usable.

        Warns
        -----
        RuntimeWarning
            A loss is not a finite number; the first one is named (on the GPU, the line that shows it).
        """
        with self._ranks.telling():
            self._fit(
                xs, ts, max_epoch, batch_size, time_size, max_grad, eval_interval, verbose, checkpoint, resume
            )

    def _fit(
        self,
        xs: Any,
        ts: Any,
        max_epoch: int,
        batch_size: int,
        time_size: int,
        max_grad: float | None,
        eval_interval: int | None,
        verbose: bool,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
    ) -> None:
        xs, ts = as_array(xs, "fit: xs"), as_array(ts, "fit: ts")
        check_numbers(
            "fit",
            max_grad,
            max_epoch=(max_epoch, 0),
            batch_size=(batch_size, 1),
            time_size=(time_size, 1),
            eval_interval=(eval_interval, 1),
        )
        if xs.ndim == 0 or len(xs) != len(ts):
            raise ValueError(f"fit: xs has shape {xs.shape} and ts {ts.shape}, expected the same length")
        batch_size, time_size = int(batch_size), int(time_size)  # no NumPy types, in which products overflow
        words = batch_size * time_size
        steps = len(xs) // words
        if steps == 0:
            raise ValueError(
                f"fit: the text has {len(xs)} words, expected at least batch_size * time_size, {words}"
            )
        check_links("fit", self.model)
        path = checked_checkpoint(checkpoint, resume)
        ranks, sizes = self._ranks, {"words": len(xs), "batch_size": batch_size, "time_size": time_size}
        begin_together(ranks, self, None, (xs, ts), False, **sizes, max_epoch=max_epoch, max_grad=max_grad,
                       resume=resume, checkpoint=path is not None, eval_interval=eval_interval)  # fmt: skip
        batches = share_epochs(ranks, batch_size, batch_size, True, False)  # of segments
        state = begin_fit(self, sizes | {"ranks": ranks.size}, None, (), path, resume=resume)
        if state.is_loaded:
            take_states(batches, self.model)
        state.is_loaded = False
        if not state.epochs:
            self.time_idx, self.ppl_list = 0, []
        self.eval_interval = None if eval_interval is None else int(eval_interval)
        watch, lines = LossWatch("fit", steps, depth=2), LogLines(self, steps, print)
        train_step = TrainStep(self.model, self.optimizer, max_grad, FirstBackward("fit", self.model).check)
        step_on: Any = train_step if ranks.size == 1 else SharedText(ranks, batches, train_step, self.model)
        verbose = verbose and ranks.rank == 0
        total: Any  # on the GPU the loss stays there until a line needs it
        total, count = state.window
        with finish_step_on_interrupt() as interrupted:
            for epoch in range(state.epochs, max_epoch):
                for step in range(steps):
                    interrupted()
                    loss = step_on(*self.get_batch(xs, ts, batch_size, time_size))
                    if not is_on_gpu(loss) and ranks.rank == 0:
                        watch.look([loss], epoch * steps + step)
                    total = total + loss
                    count += 1
                    if eval_interval is not None and step % eval_interval == 0:
                        total = float(total)
                        if ranks.rank == 0:
                            watch.look([total], epoch * steps + step)
                        self.ppl_list.append(float(np.exp(total / count)))
                        if verbose:
                            lines.print(step + 1, self.ppl_list[-1])
                        total, count = 0.0, 0
                self.current_epoch += 1
                state.epochs += 1
                if path is not None:
                    state.window = float(total), count
                    self.save_checkpoint(path)
                share_streams(ranks, None)
            interrupted()
        state.window = float(total), count
