"""What two runs of a script printed, compared: in plain NumPy and under scratchnet."""

import re

TIME = re.compile(r"time \d+\[s\]")
FRACTION = re.compile(r"-?\d+(?:\.\d*(?:e[-+]\d+)?|e[-+]\d+)")
# What the Trainers print with two digits: numbers to both sides of a limit are rounded to different ones.
IN_TWO_DIGITS = re.compile(r"\| (?:loss|perplexity) \d+\.\d\d$")
SHARE = re.compile(r"\bacc(?:uracy)?\b")


def assert_same(ours, plain, bound, share=0.0):
    """Every word and whole number the same, every other number within the bound; times do not count.

    `share` is how far accuracies may lie apart: samples between two classes may fall to either.
    """
    assert len(ours) == len(plain)
    for mine, theirs in zip(ours, plain, strict=True):
        mine, theirs = TIME.sub("", mine), TIME.sub("", theirs)
        assert FRACTION.sub("#", mine) == FRACTION.sub("#", theirs)
        apart = 1.001 * 0.01 if IN_TWO_DIGITS.search(mine) else share if SHARE.search(mine) else 0
        for a, b in zip(FRACTION.findall(mine), FRACTION.findall(theirs), strict=True):
            assert abs(float(a) - float(b)) <= bound * max(abs(float(b)), 0.01) + apart, (mine, theirs)
