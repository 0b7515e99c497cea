"""Reads what `nvdisasm -c` prints: the instructions of each function, and what each is."""
import dataclasses
import re

_SECTION = re.compile(r"^\s*\.section\s+\.text\.([^,\s]+)")
_LABEL = re.compile(r"^([.$\w]+):\s*$")
_INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P[T\d]+)\s+)?([A-Z][\w.]*)\s*([^;]*);")
_TARGET = re.compile(r"`\(([^)]+)\)")
_REGISTER = re.compile(r"\bR(\d+)(\.64)?")
_WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}


@dataclasses.dataclass(frozen=True)
class Instruction:
    predicate: str  # "", "P0", "!P0"
    opcode: str  # "LDG.E.128"
    operands: str
    target: str  # the label of a branch or a call, or ""

    @property
    def name(self):
        return self.opcode.split(".")[0]

    @property
    def width(self):
        """Bytes a thread, of a load or a store."""
        return next((_WIDTHS[part] for part in self.opcode.split(".")[1:] if part in _WIDTHS), 4)

    def _registers(self, text):
        """The registers named in `text`; those of an address are pairs."""
        found = set()
        for number, pair in _REGISTER.findall(text):
            found.update(range(int(number), int(number) + (2 if pair else 1)))
        return found

    @property
    def loaded(self):
        """The registers that a load from global memory fills."""
        first = _REGISTER.match(self.operands)
        if self.name not in ("LDG", "LD") or not first:
            return set()
        return set(range(int(first.group(1)), int(first.group(1)) + max(1, self.width // 4)))

    @property
    def used(self):
        """The registers that it waits for: those that it reads, and as a simplification the one that it writes."""
        operands = self.operands.split(",", 1)[1] if self.loaded and "," in self.operands else self.operands
        used = self._registers(operands)
        if self.name in ("STG", "ST", "STS") and self.width > 4:
            value = _REGISTER.findall(operands)[-1]
            used.update(range(int(value[0]), int(value[0]) + self.width // 4))
        return used


@dataclasses.dataclass
class Function:
    name: str  # as the linker sees it
    instructions: list
    labels: dict  # of label: index of the instruction behind it


def parse(text):
    """The functions of a listing. Raises ValueError where there is none."""
    functions, current = [], None
    for line in text.splitlines():
        if section := _SECTION.match(line):
            current = Function(section.group(1), [], {})
            functions.append(current)
        elif current is None:
            continue
        elif label := _LABEL.match(line):
            current.labels[label.group(1)] = len(current.instructions)
        elif found := _INSTRUCTION.match(line):
            _, predicate, opcode, operands = found.groups()
            target = _TARGET.search(operands)
            current.instructions.append(Instruction(predicate or "", opcode, operands.strip(), target.group(1) if target else ""))
    if not functions:
        raise ValueError("got a listing without a .text section, wanted what 'nvdisasm -c FILE.cubin' prints")
    return functions


# The execution unit of each instruction, and what the tables call it. Uniform instructions and branches only take an issue slot.
_KINDS = {
    "fp32": ("fma", "FADD FFMA FMUL FFMA32I FADD32I FMUL32I"),
    "fp16": ("fma", "HADD2 HFMA2 HMUL2 HADD2_32I HFMA2_32I HMUL2_32I HFMA2_MMA"),
    "fp64": ("fp64", "DADD DFMA DMUL DSETP"),
    "multiply": ("imad", "IMAD"),
    "integer": ("alu", "IADD3 LOP3 SHF LEA ISETP SEL PRMT IMNMX VIMNMX VIADD VIADDMNMX IABS MOV BMSK SGXT PLOP3 P2R R2P LOP IADD CS2R IDP VABSDIFF"),
    "compare": ("alu", "FSETP FSEL FMNMX FSET FCHK HSETP2 HMNMX2 HSET2"),
    "convert": ("alu", "F2FP I2FP F2IP"),
    "special": ("xu", "MUFU I2F F2I F2F FRND POPC FLO BREV I2I"),
    "global": ("lsu", "LDG STG LD ST ATOMG ATOM RED REDG LDL STL"),
    "shared": ("lsu", "LDS STS ATOMS LDSM"),
    "exchange": ("lsu", "SHFL"),
    "barrier": ("", "BAR VOTE VOTEU WARPSYNC DEPBAR MEMBAR ERRBAR CCTL MATCH REDUX"),
    "branch": ("", "BRA BRX JMP CALL RET EXIT BSSY BSYNC BREAK YIELD KILL NOP BMOV RPCMOV"),
    "constant": ("", "LDC S2R S2UR R2UR LEPC"),
}
_UNITS = {name: (kind, unit) for kind, (unit, names) in _KINDS.items() for name in names.split()}
KINDS = [*_KINDS, "uniform", "unknown"]


def kind_of(instruction):
    """(kind, unit): unit is "" for what only takes an issue slot."""
    name = instruction.name
    if name in _UNITS:
        return _UNITS[name]
    return ("uniform", "") if name.startswith("U") else ("unknown", "")
