# Mean losses of a fit


@cython.final
@cython.auto_pickle(False)
cdef class LossMeans:
    """Adds up losses, one after another as the books do, for the lines of a log and for the epochs.

    Parameters
    ----------
    steps : int
        Steps per epoch.
    interval : int or None
        A line is due after the first of every `interval` steps of an epoch; None means never.
    since_line, count : float and int
        Sum and number of the losses before these, since the last line.
    last : float
        What the last step of an epoch counts in its mean: the share of its batch, if that is smaller.
    """

    cdef Py_ssize_t steps, interval, step, next_line, count
    cdef bint has_lines
    cdef double since_line, of_epoch, last  # sums; a share

    def __cinit__(self, Py_ssize_t steps, interval, double since_line=0, Py_ssize_t count=0, double last=1):
        self.steps, self.last = steps, last
        self.interval = steps if interval is None else min(interval, steps)
        self.has_lines = interval is not None
        self.since_line, self.count = since_line, count

    def window(self):
        """Return the sum and the number of the losses since the last line."""
        return self.since_line, self.count

    def add(self, losses):
        """Add the losses of the next steps; return the lines and epochs that became due, in order.

        Returns
        -------
        list of (step, line, epoch)
            The number of the step in its epoch, starting at 1; the mean loss since the previous line, or None;
            the mean of the epoch that it ended, or None.
        """
        cdef double loss
        cdef bint is_line
        due = []
        for loss in losses:
            self.since_line += loss
            self.count += 1
            is_line = self.has_lines and self.step == self.next_line
            self.step += 1
            self.of_epoch += loss * self.last if self.step == self.steps else loss
            if is_line or self.step == self.steps:
                due.append((self.step, self.since_line / self.count if is_line else None,
                            self.of_epoch / (self.steps - 1 + self.last) if self.step == self.steps else None))
            if is_line:
                self.since_line = self.count = 0
                self.next_line += self.interval
            if self.step == self.steps:
                self.of_epoch = self.step = self.next_line = 0
        return due
