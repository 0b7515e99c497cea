"""Runs the pieces that fit into a budget."""

import time

from .outcome import CUT, FAILED, NOT_RUN, PASSED, BudgetEnded, CannotRun, PieceFailed


def seconds_needed(piece, ran_before_cut_s):
    """The time that must be left for a piece to start: its expected time, or more than it ran before it was cut short, up to its limit."""
    return min(max(piece.seconds, 1.3 * ran_before_cut_s), piece.limit_s)


def run_pieces(pieces, record, runner, budget_s, say, clock=time.monotonic):
    """Runs the unsettled pieces for which enough of the budget is left, in order. A small piece may run before a large one that must
    wait."""
    end = clock() + budget_s
    for piece in pieces:
        if record.settled(piece) and not piece.each_call:
            continue
        left = end - clock()
        if left < seconds_needed(piece, record.ran_before_cut_s(piece)):
            continue
        say(f"{piece.key} ({left:.0f} s left)")
        start = clock()
        runner.begin(piece.limit_s, left)
        try:
            found = piece.work(runner, record.results())
            status, summary = PASSED, found.pop("summary")
        except CannotRun as reason:
            status, summary, found = NOT_RUN, str(reason), {}
        except BudgetEnded:
            status, summary, found = CUT, f"the budget ended after {clock() - start:.0f} s", {}
        except PieceFailed as problem:
            status, summary, found = FAILED, str(problem), problem.found
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            status, summary, found = FAILED, f"the report is incomplete: {type(error).__name__} {error}", {}
        record.put(piece, status, summary, clock() - start, found)


def plan_lines(pieces, record, budget_s):
    """Lists the pieces in order with their expected seconds, and the call in which each should run if every call has this budget."""
    calls, lines, waiting = 0, [], [piece for piece in pieces if not record.settled(piece)]
    while waiting:
        calls += 1
        left, later = budget_s, []
        for piece in waiting:
            needed = seconds_needed(piece, record.ran_before_cut_s(piece))
            if left < needed:
                later.append(piece)
                continue
            left -= piece.seconds
            lines.append(f"  call {calls}  {budget_s - left:>5.0f} s  {piece.seconds:>4.0f} s  {piece.key}")
        if len(later) == len(waiting):
            lines += [f"  needs a budget of {seconds_needed(piece, 0):.0f} s: {piece.key}" for piece in later]
            break
        waiting = later
    return lines
