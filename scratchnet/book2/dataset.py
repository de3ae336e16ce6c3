"""Book 2's `dataset`: the modules of `scratchnet.dataset`, which can be imported under this name, too."""

import sys

from ..dataset import ptb, sequence, spiral

__all__ = ["ptb", "sequence", "spiral"]

sys.modules |= {f"{__name__}.{name}": globals()[name] for name in __all__}
