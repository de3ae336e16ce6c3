"""The trainer of language models: batches that go on where the ones before ended.

Source: *Deep Learning from Scratch* 2, ch. 5.5.3.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ._arrays import Array, as_array, as_number, is_on_gpu
from ._fitting import (
    check_numbers,
    check_trainable,
    finish_step_on_interrupt,
    log_line,
    show_where_there_is_a_window,
)
from ._watching import FirstBackward, LossWatch, check_links
from .evaluation import stretches, taken
from .util import clip_grads, flatten, remove_duplicate

_LINES = {
    "en": "| epoch %d |  iter %d / %d | time %d[s] | perplexity %.2f",
    "ko": "| 에폭 %d |  반복 %d / %d | 시간 %d[s] | 퍼플렉서티 %.2f",
}


class RnnlmTrainer:
    """Trains a language model on a text, in batches of stretches that follow each other.

    Parameters
    ----------
    model
        Any object with forward(xs, ts) -> loss, backward(), params and grads, whose recurrent layers keep their
        state from one batch to the next.
    optimizer
        An object with update(params, grads).
    lang : None, "en" or "ko"
        Language of the log lines; None takes the environment's SCRATCHNET_LANG, else English.

    Attributes
    ----------
    ppl_list : list of float
        Perplexity since the line before, one entry for every log line of the last fit.
    current_epoch : int
        Whole epochs trained so far, counted on by further calls of fit.
    time_idx : int
        How many words each stretch has gone on since fit began.
    eval_interval : int or None
        Of the last fit.

    Raises
    ------
    ValueError
        The model or the optimizer lacks something that training needs, or the language is unknown.

    Notes
    -----
    Source: *Deep Learning from Scratch* 2, ch. 5.5.3.
    """

    def __init__(self, model: Any, optimizer: Any, *, lang: str | None = None) -> None:
        check_trainable("RnnlmTrainer", model, optimizer)
        self._line = log_line("RnnlmTrainer", _LINES, lang)
        self.model = model
        self.optimizer = optimizer
        self.time_idx = 0
        self.ppl_list: list[float] = []
        self.eval_interval: int | None = None
        self.current_epoch = 0

    def __repr__(self) -> str:
        return f"RnnlmTrainer({self.model!r}, {self.optimizer!r}, current_epoch={self.current_epoch})"

    def get_batch(self, x: Any, t: Any, batch_size: int, time_size: int) -> tuple[Array, Array]:
        """Return the next batch of words and of the words after them, (batch_size, time_size) each.

        They lie where x and t do, on the CPU or on the GPU; word numbers of any integer dtype become int64.

        Raises
        ------
        ValueError
            A size is no whole number, 1 or more, or x has no words.
        """
        x, t = as_array(x, "get_batch: x"), as_array(t, "get_batch: t")
        if x.ndim == 0 or t.ndim == 0 or len(t) < len(x):
            raise ValueError(f"get_batch: x has shape {x.shape} and t {t.shape}, expected as many of each")
        positions = stretches(len(x), batch_size, time_size, self.time_idx)
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
    ) -> None:
        """Train for max_epoch epochs of len(xs) // (batch_size * time_size) steps each.

        Parameters
        ----------
        xs, ts
            Word numbers in the order of the text, and for each the number of the word after it. For a model on
            the GPU they may lie on either side; only those on the CPU are checked.
        max_epoch : int
            Number of epochs; 0 does nothing.
        batch_size, time_size : int
            Stretches in a step, and their length.
        max_grad : float, optional
            Largest norm of all gradients together; larger ones are scaled down to it.
        eval_interval : int or None
            A line is printed and an entry made in `ppl_list` at the first of every so many steps of an epoch;
            None: never.
        verbose : bool
            Whether the lines are printed.

        Raises
        ------
        ValueError
            xs and ts differ in length or are shorter than one batch, an option makes no sense, the model's params
            are not those of its layers, or its first backward does not write a gradient.
        KeyboardInterrupt
            After Ctrl-C, when the running step has ended; model and trainer can be used and trained on.

        Warns
        -----
        RuntimeWarning
            A loss is not a finite number; the first one is named (on the GPU, the line that shows it).
        """
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
            raise ValueError(f"fit: xs has shape {xs.shape} and ts {ts.shape}, expected as many of each")
        batch_size, time_size = int(batch_size), int(time_size)  # no NumPy types, in which products overflow
        words = batch_size * time_size
        steps = len(xs) // words
        if steps == 0:
            raise ValueError(
                f"fit: the text has {len(xs)} words, expected batch_size * time_size, {words}, or more"
            )
        check_links("fit", self.model)
        self.time_idx, self.ppl_list, self.eval_interval = 0, [], eval_interval
        watch = LossWatch("fit", steps)
        first: FirstBackward | None = FirstBackward("fit", self.model)
        total: Any = 0.0  # on the GPU it stays there until a line needs it
        count, start = 0, time.perf_counter()
        with finish_step_on_interrupt() as interrupted:
            for epoch in range(max_epoch):
                for step in range(steps):
                    interrupted()
                    loss = self._step(*self.get_batch(xs, ts, batch_size, time_size), max_grad, first)
                    first = None
                    if not is_on_gpu(loss):
                        watch.look([loss], epoch * steps + step)
                    total = total + loss
                    count += 1
                    if eval_interval is not None and step % eval_interval == 0:
                        total = float(total)
                        watch.look([total], epoch * steps + step)
                        self.ppl_list.append(float(np.exp(total / count)))
                        total, count = 0.0, 0
                        if verbose:
                            seconds = time.perf_counter() - start
                            numbers = (self.current_epoch + 1, step + 1, steps, seconds, self.ppl_list[-1])
                            print(self._line % numbers)
                self.current_epoch += 1
            interrupted()

    def _step(self, xs: Array, ts: Array, max_grad: float | None, first: FirstBackward | None) -> Any:
        loss = self.model.forward(xs, ts)
        if not is_on_gpu(loss):
            loss = as_number("fit: the model's loss", loss)
        self.model.backward()
        if first is not None:
            first.check()
        params, grads = remove_duplicate(flatten(self.model.params), flatten(self.model.grads))
        if max_grad is not None:
            clip_grads(grads, max_grad)
        self.optimizer.update(params, grads)
        return loss

    def plot(self, ylim: tuple[float, float] | None = None, *, ax: Any = None) -> Any:
        """Draw `ppl_list`; return the matplotlib axes.

        Parameters
        ----------
        ylim : (float, float), optional
            Limits of the vertical axis.
        ax : matplotlib axes, optional
            Where to draw; without it a new picture is made, and shown if matplotlib has a window to show it in.

        Raises
        ------
        ValueError
            There is nothing to draw yet.
        ImportError
            matplotlib is not installed.
        """
        from .plotting import plot_loss

        axes = plot_loss(self, ylim, ax=ax)
        if ax is None:
            show_where_there_is_a_window(axes)
        return axes
