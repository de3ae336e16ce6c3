"""The code of both books in plain NumPy, in our own words: what scratchnet is tested and timed against.

The names, formulas, order of operations and new arrays are the books', so a benchmark against this code is fair.
The dtype of a result is that of the weights.

book1/, book2/   each book's `common` and `dataset`: tests import them from here (`book2.layers`); a script that
                 runs as a process finds them as `common` and `dataset`, with book1/ or book2/ on its path
functions        of both books
optimizers       of both books
rnnlm            book 2's network for text, and a fit of it
training         a network with one hidden layer, written without classes

Source: *Deep Learning from Scratch* 1 and 2.
"""
