"""What a prediction assumes of a GPU. Everything but the copy speed is from NVIDIA's documents or an estimate; see ASSUMPTIONS."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Gpu:
    title: str
    multiprocessors: int
    clock_hz: float  # boost
    copy_bytes_per_second: float  # read and written, measured
    launch_us: float = 3.0
    latency_us: float = 0.5  # of a load from memory, while others load too

    # Of a multiprocessor, compute capability 9.0.
    registers: int = 65536
    warps: int = 64
    blocks: int = 32
    shared_bytes: int = 228 * 1024

    def seconds(self, warp_instructions, unit):
        """How long all multiprocessors together take for warp instructions of a unit."""
        return warp_instructions / (RATES[unit] * self.multiprocessors * self.clock_hz)

    def resident_threads(self, threads, registers, shared_bytes, most_blocks):
        """Threads on a multiprocessor at once, of a kernel with blocks of `threads`. A grid has at most `most_blocks` for each."""
        warps = -(-threads // 32)
        # Registers are divided among four schedulers and given to a warp in units of 256.
        of_warp = -(-max(registers, 1) * 32 // 256) * 256
        by_registers = 4 * (self.registers // 4 // of_warp) // warps
        by_shared = self.shared_bytes // (shared_bytes + 1024)  # the system takes 1 KB of each block's
        return threads * min(by_registers, by_shared, self.warps // warps, self.blocks, most_blocks)


GPUS = {
    "h200": Gpu("H200 SXM", 132, 1.98e9, 4.3e12),
    "h100": Gpu("H100 SXM", 132, 1.98e9, 3.0e12),
}

# Warp instructions a clock and multiprocessor. lsu: of 128 bytes each.
RATES = {"issue": 4.0, "fma": 4.0, "imad": 2.0, "alu": 2.0, "xu": 0.5, "fp64": 2.0, "lsu": 1.0}

# The names of the bounds, as the tables have them.
BOUNDS = {"memory": "memory", "latency": "latency", "issue": "issue", "fma": "FP32 unit", "imad": "integer multiply", "alu": "integer unit",
          "xu": "special unit", "fp64": "FP64 unit", "lsu": "accesses", "launch": "launch"}

ASSUMPTIONS = [
    "Each byte of the contract crosses memory once, at the speed of a copy. What is read again because a cache has lost it is not counted.",
    "A multiprocessor starts 4 warp instructions a clock, as many in the FP32 unit, 2 in the integer unit (which also compares, "
    "selects and rounds to 16 bits), 2 integer multiplications, 2 in FP64, 1/2 in the special unit, and moves 128 bytes to or from "
    "L1 or shared memory. The clock is the boost clock. Real kernels reach 80 to 90 % of such rates at best.",
    "A thread takes the path of a trip with the most bytes and the fewest instructions. Accesses of a warp are adjacent.",
    "A kernel takes as long as the slowest of these, plus a fixed time for each launch.",
]
