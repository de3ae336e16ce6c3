"""Processes killed while they save: the file is whole, and the next save cleans up."""

from __future__ import annotations

import os

import pytest
import workers

pytestmark = [pytest.mark.long, pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")]

KILLS = 100


def test_kills_while_saving(trials, tmp_path):
    count = trials.scaled(KILLS)
    found = workers.findings("kills", trials.seed, count, tmp_path)
    trials.made("kills while saving", count, len(found))
    assert not found, workers.report("kills", trials.seed, count, found)
