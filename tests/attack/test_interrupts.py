"""Ctrl-C at random moments of fits of every kind."""

from __future__ import annotations

import os

import pytest
import workers

pytestmark = [pytest.mark.long, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")]

INTERRUPTS = 1_000


def test_interrupts_at_random_moments(trials, tmp_path):
    count = trials.scaled(INTERRUPTS)
    found = workers.findings("interrupts", trials.seed, count, tmp_path)
    trials.made("Ctrl-C at random moments", count, len(found))
    assert not found, workers.report("interrupts", trials.seed, count, found)
