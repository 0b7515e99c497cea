"""Compiles the kernels for sm_90 and reads what the compiler made of them."""
import dataclasses
import functools
import os
import re
import shutil
import subprocess

from .loops import loops_of, main_loop
from .sass import parse

# As the preset `cuda` compiles them.
FLAGS = ["-std=c++20", "-O3", "-DNDEBUG", "-arch=sm_90"]
_ENTRY = re.compile(r"Compiling entry function '(\S+)'")
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


class Missing(Exception):
    """Something that the script needs is not there; the message says what to do."""


@dataclasses.dataclass
class Kernel:
    name: str  # "add_kernel<f16, 8>"
    registers: int
    shared_bytes: int  # without that of the launch
    spilled_bytes: int
    function: object
    trip_bytes: int = 0  # of the main loop, where another loop moves more
    depth: int = 0  # of the main loop, if it is in others; 0: any

    @functools.cached_property
    def _analysis(self):
        return loops_of(self.function)

    @property
    def loops(self):
        return self._analysis[0]

    @functools.cached_property
    def main(self):
        return main_loop(self.loops, self.trip_bytes, self.depth)

    @functools.cached_property
    def prologue(self):
        return self._analysis[1](self.main)


def find_tool(name, root):
    """nvcc or nvdisasm: from PATH, from a toolkit, or from the wheels of tools/setup --cuda."""
    places = [shutil.which(name), root / ".venv/cuda/bin" / name, f"/usr/local/cuda/bin/{name}",
              *root.glob(f".venv/lib/python3*/site-packages/nvidia/cu13/bin/{name}")]
    found = next((str(place) for place in places if place and os.access(place, os.X_OK)), None)
    if not found:
        raise Missing(f"{name} is neither in PATH nor in {root}/.venv nor in /usr/local/cuda/bin: run tools/setup --cuda")
    return found


def version_of(tool):
    text = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"V(\d[\d.]*)", text).group(1)


def short(demangled):
    """'void residua::cuda::(anonymous namespace)::add_kernel<residua::f16, 8>(long, ...)' is 'add_kernel<f16, 8>'."""
    text = demangled.replace("(anonymous namespace)::", "").replace("residua::cuda::", "").replace("residua::", "")
    depth = 0
    for at, character in enumerate(text):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0:
            text = text[:at]
            break
    return text.removeprefix("void ").strip()


def resources(log):
    """{linker's name: (registers, shared bytes, spilled bytes)} from what ptxas -v prints."""
    found, name, spilled = {}, None, 0
    for line in log.splitlines():
        if entry := _ENTRY.search(line):
            name, spilled = entry.group(1), 0
        elif spills := _SPILLS.search(line):
            spilled = int(spills.group(1)) + int(spills.group(2))
        elif name and (used := _USED.search(line)):
            shared = _SHARED.search(line)
            found[name] = (int(used.group(1)), int(shared.group(1)) if shared else 0, spilled)
            name = None
    return found


def run(command, **kwargs):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        raise Missing(f"{' '.join(str(word) for word in command)} failed:\n{done.stderr or done.stdout}")
    return done


def kernels_of(source, root, folder, say):
    """{short name: Kernel} of a .cu file. Compiles it if the folder has no newer result."""
    nvcc, nvdisasm = find_tool("nvcc", root), find_tool("nvdisasm", root)
    cubin, log = folder / f"{source.stem}.cubin", folder / f"{source.stem}.log"
    inputs = [source, *root.glob("cuda/**/*.cuh"), *root.glob("cuda/**/*.h"), *root.glob("core/kernels/*.h")]
    command = [nvcc, "-cubin", *FLAGS, "-Xptxas", "-v", "-I", root, "-o", cubin, source]
    begin = " ".join(str(word) for word in command) + "\n"
    if not log.exists() or log.stat().st_mtime < max(path.stat().st_mtime for path in inputs) or not log.read_text(encoding="utf-8").startswith(begin):
        say(f"compiling {source.name}")
        folder.mkdir(parents=True, exist_ok=True)
        # Written last, so a killed run leaves nothing that looks complete.
        log.write_text(begin + run(command).stderr, encoding="utf-8")
    used = resources(log.read_text(encoding="utf-8"))
    functions = parse(run([nvdisasm, "-c", cubin]).stdout)
    names = run(["c++filt"], input="\n".join(f.name for f in functions)).stdout.splitlines()
    return {short(name): Kernel(short(name), *used[f.name], f) for name, f in zip(names, functions) if f.name in used}
