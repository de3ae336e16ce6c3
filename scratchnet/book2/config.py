"""Book 2's `common.config`: an alias of the module `scratchnet.config`, whose switch counts."""

import sys

from .. import config
from ..config import GPU as GPU

sys.modules[__name__] = config
