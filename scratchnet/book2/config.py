"""Book 2's `common.config`: this name stands for the module `scratchnet.config`, whose switch counts."""

import sys

from .. import config
from ..config import GPU as GPU

sys.modules[__name__] = config
