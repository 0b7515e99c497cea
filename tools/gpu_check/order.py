"""All pieces in run order: the cheapest and most decisive first, so that a short session gives the most important results."""

from . import kernels, numerics, plans, pytorch, sanitizers, steps, training


def all_pieces():
    step, first_steps, other_steps, options = steps.pieces()
    fused, ops, other_tests = numerics.pieces()
    ceilings, first_kernels, other_kernels = kernels.pieces()
    peers, compiled, other_peers = pytorch.pieces()
    first_sanitizers, other_sanitizers = sanitizers.pieces()
    return [
        *step,
        *fused,
        *ops,
        *first_steps,
        *ceilings,
        *first_kernels,
        *plans.pieces(),
        *peers,
        *compiled,
        *first_sanitizers,
        *training.pieces(),
        *options,
        *other_steps,
        *other_tests,
        *other_kernels,
        *other_sanitizers,
        *other_peers,
    ]


def rehearsed(pieces):
    """The pieces of a rehearsal on the CPU: one for each part, network of `steps` and precision of `training`."""
    chosen, seen = [], set()
    for piece in pieces:
        sort = (piece.part, piece.name.split()[0] if piece.part in ("steps", "training") else "")
        if sort not in seen:
            seen.add(sort)
            chosen.append(piece)
    return chosen
