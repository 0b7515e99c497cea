"""The possible outcomes of a piece."""

PASSED = "passed"
FAILED = "FAILED"
NOT_RUN = "not run"  # cannot run on this machine
CUT = "cut short"  # the budget ended; the next call runs it again
WAITING = "waiting"  # did not fit into the budget


class CannotRun(Exception):
    """A piece cannot run on this machine."""


class BudgetEnded(Exception):
    """A piece was stopped because the budget ended."""


class PieceFailed(Exception):
    """A piece ran and failed; `found` still goes into the results."""

    def __init__(self, text, found=None):
        super().__init__(text)
        self.found = found or {}
