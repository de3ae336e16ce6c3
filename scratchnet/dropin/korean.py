"""Book 2's trainers as the Korean edition has them: their lines are in Korean."""

from __future__ import annotations

from typing import Any

from ..book2 import trainer


class Trainer(trainer.Trainer):
    """Book 2's Trainer."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        super().__init__(model, optimizer, lang="ko")


class RnnlmTrainer(trainer.RnnlmTrainer):
    """Book 2's RnnlmTrainer."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        super().__init__(model, optimizer, lang="ko")
