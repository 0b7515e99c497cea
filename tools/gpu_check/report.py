"""The table at the end of a call, and the exit code."""

from .outcome import CUT, FAILED, NOT_RUN, WAITING
from .targets import judge

EXIT_PASSED, EXIT_FAILED, EXIT_CANNOT_RUN, EXIT_UNFINISHED = 0, 1, 3, 4


def outcomes(pieces, record, problems):
    """(piece, status, seconds, summary) of each piece."""
    found = []
    for piece in pieces:
        entry = record.entry(piece)
        if entry is None:
            found.append((piece, WAITING, 0.0, f"did not fit: about {piece.seconds:.0f} s"))
        elif piece.key in problems:
            found.append((piece, FAILED, entry["seconds"], f"{entry['summary']}: {problems[piece.key]}"))
        else:
            found.append((piece, entry["status"], entry["seconds"], entry["summary"]))
    return found


def finish(pieces, record, rehearsal):
    """Prints the table, saves the verdicts in the results file, and returns the exit code."""
    problems, notes = ({}, []) if rehearsal else judge(record.results())
    table = outcomes(pieces, record, problems)
    unfinished = [piece.key for piece, status, _, _ in table if status in (WAITING, CUT)]
    record.save(problems=problems, notes=notes, unfinished=unfinished)
    cudnn = next((entry["cudnn"] for key, entry in record.results().items() if key.startswith("ceilings/")), "") or "not asked"
    print(f"{record.machine['device']}, driver {record.machine['driver']}, cuDNN {cudnn}")
    for piece, status, seconds, summary in table:
        print(f"  {piece.part:<10} {piece.name:<32} {status:<9} {seconds:>6.1f} s  {summary}")
    for note in notes:
        print(f"  {note}")
    states = {status for _, status, _, _ in table}
    if unfinished:
        print(f"{len(unfinished)} of {len(table)} pieces did not fit into this call; the next call continues with them")
    if FAILED in states:
        return EXIT_FAILED
    return EXIT_UNFINISHED if unfinished else EXIT_CANNOT_RUN if NOT_RUN in states else EXIT_PASSED
