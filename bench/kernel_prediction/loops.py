"""The loops of a function, and what a thread executes in one trip through each.

A trip is a path: of all paths through a loop's body, the one that moves the most bytes and, among these, the one with the fewest
instructions. That leaves out the slow forms (a division of large numbers, an index for NaN) and the parts of a tile that does not exist.
Bodies of inner loops are not part of an outer loop's trip."""
import collections
import dataclasses

from .sass import kind_of

_ENDS = ("EXIT", "RET", "BRX", "JMP", "KILL")


@dataclasses.dataclass
class Block:
    instructions: list
    successors: list


@dataclasses.dataclass
class Path:
    """What a thread executes."""

    instructions: list

    @property
    def accesses(self):
        """{("load" or "store", bytes a thread): how many} in global memory."""
        found = collections.Counter()
        for i in self.instructions:
            if i.name in ("LDG", "LD"):
                found["load", i.width] += 1
            elif i.name in ("STG", "ST"):
                found["store", i.width] += 1
        return found

    def bytes(self, direction=None):
        return sum(width * count for (way, width), count in self.accesses.items() if direction in (None, way))

    @property
    def kinds(self):
        return collections.Counter(kind_of(i)[0] for i in self.instructions)

    @property
    def units(self):
        """Warp instructions by execution unit. For `lsu`, clocks: the unit moves 128 bytes a clock, and starts one instruction a clock."""
        found = collections.Counter()
        for i in self.instructions:
            unit = kind_of(i)[1]
            if unit:
                found[unit] += max(1.0, i.width / 4) if unit == "lsu" else 1
        return found

    @property
    def waits(self):
        """How often a thread waits for memory: loads that are under way together count once."""
        waits, outstanding = 0, set()
        for i in self.instructions:
            if outstanding & i.used:
                waits, outstanding = waits + 1, set()
            outstanding |= i.loaded
        return waits + bool(outstanding)


@dataclasses.dataclass
class Loop:
    header: int
    blocks: set
    trip: Path = None
    children: list = dataclasses.field(default_factory=list)
    parent: "Loop" = None


def blocks_of(function):
    """The basic blocks. Convergence (BSSY, BSYNC) is no branch. A call returns behind itself."""
    code = function.instructions
    starts = {0, *function.labels.values()}
    for index, i in enumerate(code):
        if i.name in ("BRA", *_ENDS):
            starts.add(index + 1)
    starts = sorted(start for start in starts if start < len(code))
    number = {start: block for block, start in enumerate(starts)}
    blocks = []
    for block, start in enumerate(starts):
        end = starts[block + 1] if block + 1 < len(starts) else len(code)
        last = code[end - 1]
        successors = []
        conditional = bool(last.predicate) or last.operands.startswith(("P", "!P", "UP", "!UP"))
        if (last.name not in ("BRA", *_ENDS) or conditional or last.opcode.startswith("BRA.DIV")) and end in number:
            successors.append(number[end])
        # BRA.DIV leads to the slow form of a shuffle, for warps that have diverged.
        if last.name == "BRA" and not last.opcode.startswith("BRA.DIV"):
            if last.target not in function.labels:
                raise ValueError(f"{function.name}: got a branch to '{last.target}', which is no label of this function")
            target = number.get(function.labels[last.target])
            if target is not None and target not in successors:
                successors.append(target)
        blocks.append(Block(code[start:end], successors))
    return blocks


def _order(blocks):
    """The reachable blocks, each before its successors except along back edges."""
    order, seen, stack = [], {0}, [(0, iter(blocks[0].successors))]
    while stack:
        block, rest = stack[-1]
        for successor in rest:
            if successor not in seen:
                seen.add(successor)
                stack.append((successor, iter(blocks[successor].successors)))
                break
        else:
            order.append(block)
            stack.pop()
    return order[::-1]


def _dominators(blocks, order):
    before = collections.defaultdict(list)
    for block in order:
        for successor in blocks[block].successors:
            before[successor].append(block)
    dominators = {block: set(order) for block in order}
    dominators[0] = {0}
    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            new = {block} | set.intersection(*(dominators[p] for p in before[block]))
            if new != dominators[block]:
                dominators[block], changed = new, True
    return dominators, before


def _heaviest(blocks, order, start, ends, inside, inner, by_bytes=True):
    """The path from `start` to one of `ends` in the blocks `inside`; `inner` loops are passed, not walked. None if there is no path."""
    header_of = {block: loop.header for loop in inner for block in loop.blocks}
    exits = {loop.header: {s for b in loop.blocks for s in blocks[b].successors if s not in loop.blocks} for loop in inner}
    best = {}
    for block in reversed(order):
        if block not in inside or header_of.get(block, block) != block:
            continue
        own = [] if block in exits else blocks[block].instructions
        options = [best[s] for s in exits.get(block, blocks[block].successors) if s in best and s != start]
        if block in ends:
            options.append(((0, 0), []))
        if options:
            cost, rest = max(options, key=lambda option: option[0])
            path = Path(own)
            best[block] = ((cost[0] + by_bytes * path.bytes(), cost[1] - len(own)), [block, *rest])
    if start not in best:
        return None
    return Path([i for block in best[start][1] if block not in exits for i in blocks[block].instructions])


def loops_of(function):
    """All loops, outer ones first, each with its trip; and the path from the function's start to a block, as a function."""
    blocks = blocks_of(function)
    order = _order(blocks)
    dominators, before = _dominators(blocks, order)
    loops, latches = {}, collections.defaultdict(set)
    for block in order:
        for header in blocks[block].successors:
            if header not in dominators[block] or header == block and len(blocks[block].instructions) == 1:
                continue  # not a loop, or the endless one behind a function's end
            latches[header].add(block)
            loop = loops.setdefault(header, Loop(header, {header}))
            stack = [block]
            while stack:
                inside = stack.pop()
                if inside not in loop.blocks:
                    loop.blocks.add(inside)
                    stack.extend(before[inside])
    loops = sorted(loops.values(), key=lambda loop: -len(loop.blocks))
    for index, loop in enumerate(loops):
        for outer in reversed(loops[:index]):
            if loop.header in outer.blocks and loop.header != outer.header:
                loop.parent = outer
                outer.children.append(loop)
                break
    calls = {b for b in order if any(i.name == "CALL" for i in blocks[b].instructions)}

    def path(start, ends, inside, inner, by_bytes=True):
        return (_heaviest(blocks, order, start, ends, inside - calls, inner, by_bytes)
                or _heaviest(blocks, order, start, ends, inside, inner, by_bytes))

    for loop in loops:
        loop.trip = path(loop.header, latches[loop.header], loop.blocks, loop.children) or Path([])
    outermost = [loop for loop in loops if loop.parent is None]

    def prologue(loop):
        """What a thread executes before it enters `loop` for the first time."""
        while loop.parent:
            loop = loop.parent
        entries = {b for b in before[loop.header] if b not in loop.blocks}
        others = [other for other in outermost if other is not loop]
        ends = {next((o.header for o in others if b in o.blocks), b) for b in entries}
        return path(0, ends, set(order) - loop.blocks, others, by_bytes=False) or Path([])

    return loops, prologue


def nest_of(loop):
    """The loops around `loop`, the outermost first, and itself."""
    return [*(nest_of(loop.parent) if loop.parent else []), loop]


def main_loop(loops, trip_bytes=0, depth=0):
    """The loop whose trip moves the most bytes, of equal ones in the fewest accesses, then the outermost. None if there is no such loop.

    If they are given, its trip moves `trip_bytes`, and it is the `depth`-th of loops in each other."""
    moving = [loop for loop in loops if loop.trip.bytes() and trip_bytes in (0, loop.trip.bytes()) and depth in (0, len(nest_of(loop)))]
    return max(moving, key=lambda loop: (loop.trip.bytes(), -loop.trip.accesses.total()), default=None)
