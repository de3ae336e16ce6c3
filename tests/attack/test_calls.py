"""Random calls of all that is public, with odd arguments, against plain NumPy in float64."""

from __future__ import annotations

import inspect

import all_attacks
import attacks_trainers
import names
import pytest
import workers

from scratchnet import RnnlmTrainer, Trainer
from scratchnet.book1 import trainer as book1_trainer

pytestmark = pytest.mark.long

CALLS = 20_000


def test_everything_public_is_attacked_or_excused():
    public = set(names.public())
    attacked = {target for attack in all_attacks.ATTACKS.values() for target in attack.targets}
    assert attacked <= public, f"attacked, but not public: {sorted(attacked - public)}"
    forgotten = {name for name in public - attacked if not names.is_excused(name)}
    assert not forgotten, f"neither attacked nor excused in names.py: {sorted(forgotten)}"


def test_no_excuse_is_left_over():
    attacked = {target for attack in all_attacks.ATTACKS.values() for target in attack.targets}
    excused = set(names.public()) - attacked
    for pattern in names.NOT_CALLED:
        assert any(names.matches(name, pattern) for name in excused), pattern


@pytest.mark.parametrize(
    "function, attacked",
    [
        (Trainer.fit, attacks_trainers.FIT),
        (Trainer.__init__, attacks_trainers.TRAINER),
        (RnnlmTrainer.fit, attacks_trainers.RNNLM_FIT),
        (book1_trainer.Trainer.__init__, attacks_trainers.BOOK1_TRAINER),
    ],
)
def test_every_option_of_a_trainer_is_attacked(function, attacked):
    assert list(inspect.signature(function).parameters)[1:] == attacked


def test_random_calls(trials, tmp_path):
    count = trials.scaled(CALLS)
    found = workers.findings("calls", trials.seed, count, tmp_path)
    trials.made("random calls", count, len(found))
    assert not found, workers.report("calls", trials.seed, count, found)
