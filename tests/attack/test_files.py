"""Files that were changed at random: the right values, or a clean refusal that changes nothing."""

from __future__ import annotations

import pytest
import workers

pytestmark = pytest.mark.long

FILES = 3_000


def test_changed_files(trials, tmp_path):
    count = trials.scaled(FILES)
    found = workers.findings("files", trials.seed, count, tmp_path)
    trials.made("changed files", count, len(found))
    assert not found, workers.report("files", trials.seed, count, found)
