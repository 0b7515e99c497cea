"""What can become of a piece of work."""

PASSED = "passed"
FAILED = "FAILED"
NOT_RUN = "not run"  # this machine has no way to run it
CUT = "cut short"  # the budget ended; the next call runs it again
WAITING = "waiting"  # it did not fit into the budget


class CannotRun(Exception):
    """A piece has no way to run on this machine."""


class BudgetEnded(Exception):
    """A piece was stopped because the budget ended."""


class PieceFailed(Exception):
    """A piece ran and failed; `found` is what it leaves in the results all the same."""

    def __init__(self, text, found=None):
        super().__init__(text)
        self.found = found or {}
