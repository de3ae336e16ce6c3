"""The script again, in a process that multiprocessing starts anew: it imports this as its main module.

Without it, the new process would run the script's file with the books' own code.
"""

import ast
import os

from .._paths import content
from .editions import imports_in, parsed
from .runner import STARTED, Started, prepare, say_if_nothing_was_served

if __name__ == "__mp_main__":
    _started = Started(*ast.literal_eval(os.environ[STARTED]))
    __file__ = _started.path
    _source = content(__file__)
    _tree = parsed(_source)
    exec(prepare(_started, _source, _tree, list(imports_in(_tree))), globals())
    say_if_nothing_was_served(os.path.basename(__file__))
