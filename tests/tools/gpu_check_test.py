#!/usr/bin/env python3
"""tools/gpu-check on programs that only pretend: a fault planted in each part is found and reported, and a call goes on where the
last one ended."""

import contextlib
import dataclasses
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "tools" / "gpu-check"
GPU = {"device": "NVIDIA H200", "driver": "580.65.06"}

# Stands for every program; FAULT is "PROGRAM KIND [WORD...]": what goes wrong, in calls whose arguments have these words.
PROGRAM = f"#!{sys.executable} -IS\n" + r'''
import json, os, pathlib, sys, time
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
line = " ".join([name, *words])
with open(os.environ["CALLS"], "a") as calls:
    calls.write(line + "\n")
fault = os.environ.get("FAULT", "").split()
fault = fault[1] if fault and fault[0] == name and all(word in line for word in fault[2:]) else ""
if fault == "crash":
    print("CUDA error 700: an illegal memory access", file=sys.stderr)
    sys.exit(1)
if fault == "signal":
    os.abort()
if fault == "hang":
    time.sleep(60)
def after(flag):
    return words[words.index(flag) + 1]
def report(value):
    pathlib.Path(after("--json")).write_text("junk" if fault == "junk" else json.dumps(value))
OURS = {"resnet18": 30000, "resnet34": 17000, "resnet50": 9000, "resnet20": 90000, "resnet56": 40000}
if name == "step-bench":
    speed = {"slow": 1000, "zero": 0, "nan": float("nan")}.get(fault, OURS[after("--model")])
    report({} if fault == "empty" else {"model": after("--model"), "precision": after("--precision"), "images_per_second": speed, "median_ms": 9.0})
elif name == "kernel-bench":
    copy = 0 if fault == "nocopy" else 4.3e12
    ceilings = {"copy_bytes_per_second": copy, "matmul_f16_flops_per_second": 784e12, "matmul_bf16_flops_per_second": 790e12}
    us = {"slow": 400, "nan": float("nan")}.get(fault, 130)
    row = {"kernel": "Add", "shape": "256x56x56x64", "type": "f16", "median_us": us, "bytes": 5e8, "launches": 1}
    operation = {"kernel": "batch_norm forward", "shape": "256x56x56x64", "type": "f16", "median_us": 9000, "bytes": 5e8, "launches": 3}
    report({"ceilings": ceilings, "cudnn": "9.19.0", "software": "CUDA 13.0", "rows": [] if fault == "norows" else [row, operation]})
elif name == "residua-tests":
    device = "cpu" if fault == "nocuda" else "cuda"
    tests = [{"name": "Agrees/add_" + device, "result": "COMPLETED", **({"failures": [{"failure": "3 is not 4"}]} if fault == "fails" else {})}]
    print("[ RUN      ] OpForward.Agrees/add_cuda", flush=True)
    if fault == "dies":
        os.abort()
    output = [word.split("json:")[1] for word in words if "output=json:" in word]
    if output:
        suites = [] if fault == "none" else [{"name": "OpForward", "testsuite": tests}]
        pathlib.Path(output[0]).write_text(json.dumps({"testsuites": suites}))
    print("[  PASSED  ] %d test." % (0 if fault == "none" else 1))
    sys.exit(1 if fault == "fails" else 0)
elif name == "compute-sanitizer":
    if "--help" in words:
        print("--kernel-regex")
        sys.exit(0)
    print("[  PASSED  ] 1 test.")
    if fault == "finds":
        print("========= ERROR SUMMARY: 1 error")
        sys.exit(99)
    print("" if fault == "sees" else "========= ERROR SUMMARY: 0 errors")
elif name == "train-imagenet":
    error = 30.0 if after("--device") == "cpu" else 31.0
    error = {"off": 60.0, "nan": float("nan"), "unlearned": 90.0}.get(fault, error)
    folder = pathlib.Path(after("--output"))
    folder.mkdir()
    kind = "step" if fault == "unvalidated" else "validation"
    (folder / "log.jsonl").write_text(json.dumps({"type": kind, "top1_error": error}) + "\n")
elif name == "python" and words[0] == "-c":
    print("2.11.0")
elif name == "python":
    row = {"images_per_second": float("nan") if fault == "nan" else OURS[after("--model")] * (2 if fault == "fast" else 0.5)}
    report({"rows": [{"error": "exit 1: no compiler"} if fault == "error" else row]})
    sys.exit(1 if fault == "error" else 0)
'''
PLANS = {
    "forward f16 256x56x56x64 to 64, 3x3, stride 1, padding 1": {"choice": "eng1", "ways": [["eng1", 0.1], ["eng2", 0.2]], "refusal": ""},
    "forward+statistics f16 256x56x56x64 to 64, 3x3, stride 1, padding 1": {"choice": "eng3", "ways": [["eng3", 0.1], ["composed", 0.2]], "refusal": ""},
    "matmul f16 to f32 256x1000x512 nt, aligned to 256": {"choice": "0", "ways": [["0", 0.01]], "refusal": ""},
}


def load_script():
    loader = importlib.machinery.SourceFileLoader("gpu_check_script", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


script = load_script()
from gpu_check import plans, targets  # noqa: E402  the script has shown where it is


class GpuCheck(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name in ("step-bench", "kernel-bench", "residua-tests", "train-imagenet", "compute-sanitizer", "python"):
            (self.bin / name).write_text(PROGRAM, encoding="utf-8")
            (self.bin / name).chmod(0o755)
        self.environment = {**os.environ, "CALLS": str(self.folder / "calls"), "XDG_CACHE_HOME": str(self.folder / "cache"), "PATH": f"{self.bin}:{os.environ['PATH']}"}
        self.environment.pop("RESIDUA_DATA", None)
        self.write_plans({"format": 2, "devices": {"NVIDIA H200, cuDNN 91900": PLANS}, "rejected": {}})
        self.json = self.folder / "results.json"

    def write_plans(self, content, cache="cache"):
        path = self.folder / cache / "residua" / "plans.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    def arguments(self, *words):
        return [str(SCRIPT), "--bin", str(self.bin), "--python", str(self.bin / "python"), "--json", str(self.json), *words]

    def call(self, *words, fault="", gpu=GPU, **times):
        """Runs gpu-check on the pretended GPU; `times` replaces seconds and limits of all pieces. Returns exit code and output."""
        pieces = [dataclasses.replace(piece, **times) for piece in script.all_pieces()]
        output = io.StringIO()
        with mock.patch.dict(os.environ, {**self.environment, "FAULT": fault}, clear=True), mock.patch.object(script, "find_gpu", lambda: gpu), mock.patch.object(
            script, "all_pieces", lambda: pieces
        ), mock.patch.object(sys, "argv", self.arguments(*words)), contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            try:
                code = script.main()
            except SystemExit as end:
                code = end.code
        return code, output.getvalue()

    def calls(self, keep=False):
        """The programs that were started since this was last asked."""
        path = self.folder / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if not keep:
            path.unlink(missing_ok=True)
        return lines

    def statuses(self):
        return {key: entry["status"] for key, entry in json.loads(self.json.read_text(encoding="utf-8"))["pieces"].items()}


class Faults(GpuCheck):
    def check(self, part, *faults, needs=(), **times):
        """The part passes without a fault; with each it fails, and its line of the table says what is expected."""
        parts = ",".join([part, *needs])
        code, table = self.call("--only", parts, "--budget", "3600", "--again", **times)
        self.assertEqual(code, 0, table)
        for fault, expected in faults:
            with self.subTest(part=part, fault=fault):
                code, table = self.call("--only", parts, "--budget", "3600", "--again", fault=fault, **times)
                self.assertEqual(code, 1, table)
                lines = [line for line in table.splitlines() if " FAILED " in line]
                self.assertTrue(any(line.split()[0] == part and expected in line for line in lines), table)

    def test_step(self):
        self.check(
            "step",
            ("step-bench crash", "CUDA error 700: an illegal memory access"),
            ("step-bench signal", "exited -6"),
            ("step-bench nan", "got a speed of nan img/s"),
            ("step-bench zero", "got a speed of 0 img/s"),
            ("step-bench junk", "cannot read the report"),
            ("step-bench empty", "the report is incomplete: KeyError 'images_per_second'"),
            ("step-bench slow bf16", "1000 img/s is below the target of 23"),
            needs=["ceilings"],
        )

    def test_step_that_hangs(self):
        self.check("step", ("step-bench hang --precision bf16", "did not end within 1 s"), seconds=0.1, limit_s=1)

    def test_fused(self):
        failed, died = "1 failed: OpForward.Agrees/add_cuda", "exited -6: [ RUN      ] OpForward.Agrees/add_cuda; the last test started was OpForward.Agrees/add_cuda"
        self.check("fused", ("residua-tests fails FusedConvolution", failed), ("residua-tests dies", died))

    def test_ops(self):
        no_device, none = "none of them on a CUDA device", "0 tests, 0 failed"
        self.check("ops", ("residua-tests nocuda OpGradientFormula", no_device), ("residua-tests none", none), ("residua-tests fails", "1 failed: "))

    def test_steps(self):
        slow, crash = ("step-bench slow resnet34", "1000 img/s is below the target of 12"), ("step-bench crash resnet56", "CUDA error 700")
        self.check("steps", slow, crash, needs=["ceilings"])

    def test_ceilings(self):
        self.check("ceilings", ("kernel-bench nocopy", "copy_bytes_per_second was not measured"))

    def test_kernels(self):
        self.check(
            "kernels",
            ("kernel-bench slow", "1 of 1 kernels take longer than bytes / (0.9 x copy) + 3 us per launch: Add 256x56x56x64 f16 takes 3.0"),
            ("kernel-bench nan", "no valid time for Add 256x56x56x64"),
            ("kernel-bench norows", "no valid time for any kernel"),
            ("kernel-bench crash --precision", "CUDA error 700"),
            needs=["ceilings"],
        )

    def test_pytorch(self):
        self.check(
            "pytorch",
            ("python fast resnet18", "Residua's speed is 0.50 times PyTorch's; wanted more than 1"),
            ("python nan", "got a speed of nan img/s"),
            ("python crash step_torch", "CUDA error 700"),
            needs=["step"],
        )

    def test_compile(self):
        self.check("compile", ("python fast resnet18", "Residua's speed is 0.50 times PyTorch's; wanted more than 1"), needs=["step"])

    def test_sanitizers(self):
        self.write_plans("{}", "cache/residua-gpu-check")
        for tool in ("memcheck", "racecheck", "initcheck", "synccheck"):
            self.check(tool, (f"compute-sanitizer finds {tool}", "exited 99"), (f"compute-sanitizer sees {tool}", "did not report 0 errors"))
        self.check("memcheck", ("compute-sanitizer crash", "CUDA error 700"))

    def test_training(self):
        self.check(
            "training",
            ("train-imagenet off --device cuda --precision fp16", "error 60.0 % differs by more than 5.0 points from the CPU device's 30.0 %"),
            ("train-imagenet nan --device cuda", "error nan % differs by more than 5.0"),
            ("train-imagenet unlearned", "nothing was learned: error 90.0 %"),
            ("train-imagenet unvalidated", "the run left no validation error"),
        )

    def test_options(self):
        self.check("options", *((f"step-bench crash --allow-{option}", "CUDA error 700") for option in ("nondeterministic", "runtime-compilation")))

    def test_plans(self):
        self.assertEqual(self.call("--only", "step,plans")[0], 0)
        work = "forward+statistics f16 256x56x56x64 to 64, 3x3, stride 1, padding 1"
        unfused = {**PLANS, work: {"choice": "composed", "ways": [["composed", 0.2]], "refusal": "cuDNN has no engine"}}
        device = "NVIDIA H200"
        for content, expected in (
            ("junk", "cannot read plans from"),
            ({"devices": {device: {}}}, "has no convolution"),
            ({"devices": {device: {work: {"choice": "eng3", "ways": [], "refusal": ""}}}}, "the report is incomplete"),
            ({"devices": {device: unfused}}, "no fused form can be used, cuDNN has no engine"),
            ({"devices": {device: PLANS}, "rejected": {device: {work: {"eng9": "process 7 ended while it tried this plan"}}}}, "1 plans were rejected: eng9 for"),
        ):
            self.write_plans(content)
            code, table = self.call("--only", "step,plans")
            self.assertEqual(code, 1, table)
            self.assertRegex(table, f" plans .* FAILED .*{expected}")

    def test_every_part_has_a_fault_above(self):
        planted = {name.removeprefix("test_") for name in dir(self)} | {"memcheck", "racecheck", "initcheck", "synccheck"}
        self.assertEqual({piece.part for piece in script.all_pieces()} - planted, set())

    def test_what_cannot_run_here_is_no_fault(self):
        code, table = self.call("--only", "pytorch", fault="python crash -c")
        self.assertEqual(code, 3, table)
        self.assertIn("has no torch and torchvision", table)
        code, table = self.call("--only", "compile", fault="python error")
        self.assertEqual(code, 3, table)
        self.assertIn("did not run: exit 1: no compiler", table)
        (self.bin / "compute-sanitizer").unlink()
        self.environment["PATH"] = "/nowhere"
        self.assertEqual(self.call("--only", "memcheck")[0], 3)


class Calls(GpuCheck):
    def test_everything_passes(self):
        code, table = self.call("--budget", "3600")
        self.assertEqual(code, 0, table)
        for text in ("NVIDIA H200, driver 580.65.06, cuDNN 9.19.0", "step/resnet18 fp16: 30000 img/s, target 23", "steps/resnet34 fp16: 17000 img/s, target 12",
                     "resnet56 fp16: 2.00 times PyTorch's best mode so far", "of 1 fused forms in fp16 cuDNN has 1, of which 1 are the fastest plan"):  # fmt: skip
            self.assertIn(text, table)
        results = json.loads(self.json.read_text(encoding="utf-8"))
        self.assertEqual(results["unfinished"], [])
        self.assertTrue(all(" " not in status for status in self.statuses().values()))
        self.calls()
        self.assertEqual(self.call("--budget", "3600")[0], 0)
        self.assertEqual(self.calls(), [], "all has its result")
        self.assertEqual(self.call("--only", "ceilings", "--again")[0], 0)
        self.assertEqual(len(self.calls()), 1)

    def test_what_does_not_fit_is_listed(self):
        code, table = self.call("--budget", "100")
        self.assertEqual(code, 4, table)
        self.assertRegex(table, r"compile +resnet18 fp16 compile +waiting .* did not fit: about 110 s")
        self.assertRegex(table, r"\d+ of \d+ pieces did not fit into this call")
        self.assertIn("compile/resnet18 fp16 compile", json.loads(self.json.read_text(encoding="utf-8"))["unfinished"])
        self.assertEqual(self.call("--budget", "300")[0], 0)

    def test_a_part_that_is_cut_short_goes_on_in_the_next_call(self):
        trial = self.folder / "cache" / "residua" / "plans.json.trying-abcdef"
        trial.write_text("{}", encoding="utf-8")
        begin = time.monotonic()
        code, table = self.call("--budget", "2", "--only", "step,steps", fault="step-bench hang resnet34 fp16", seconds=0.2, limit_s=60)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(code, 4, table)
        self.assertRegex(table, r"steps +resnet34 fp16 +cut short ")
        self.assertRegex(table, r"steps +resnet50 fp16 +waiting ")
        self.assertFalse(trial.exists(), "the engine must not blame the plan that was being tried")
        self.calls()
        code, table = self.call("--budget", "60", "--only", "step,steps", seconds=0.2, limit_s=60)
        self.assertEqual(code, 0, table)
        calls = self.calls()
        self.assertFalse([call for call in calls if "resnet18" in call], "what had ended is not run again")
        self.assertEqual(len([call for call in calls if "resnet34" in call]), 2)
        self.assertEqual(len(calls), 8)

    def test_a_hang_is_blamed_on_the_plan_that_was_tried(self):
        trial = self.folder / "cache" / "residua" / "plans.json.trying-abcdef"
        trial.write_text("{}", encoding="utf-8")
        self.assertEqual(self.call("--only", "step", fault="step-bench hang off", seconds=0.2, limit_s=1)[0], 1)
        self.assertTrue(trial.exists())

    def test_a_piece_that_was_cut_short_needs_more_the_next_time(self):
        fault = "step-bench hang resnet34 fp16"
        self.call("--budget", "2", "--only", "steps", fault=fault, seconds=0.2, limit_s=60)
        self.assertEqual(self.statuses(), {"steps/resnet34 fp16": "cut short"})
        self.call("--budget", "2", "--only", "steps", fault=fault, seconds=0.2, limit_s=60)
        self.assertEqual(self.statuses()["steps/resnet34 fp16"], "cut short")
        self.assertEqual(self.statuses()["steps/resnet50 fp16"], "passed", "others run meanwhile")

    def test_results_of_another_device_or_build_do_not_count(self):
        self.call("--only", "ceilings,compile", "--budget", "3600")
        self.calls()
        (self.bin / "step-bench").write_text(PROGRAM + "# another build\n", encoding="utf-8")
        self.call("--only", "ceilings,compile", "--budget", "3600")
        calls = self.calls()
        self.assertEqual([call.split()[0] for call in calls], ["kernel-bench"], "PyTorch is the same")
        self.call("--only", "ceilings,compile", "--budget", "3600", gpu={**GPU, "device": "NVIDIA H100"})
        self.assertGreater(len(self.calls()), 5)

    def test_targets_wait_for_the_ceilings(self):
        code, table = self.call("--only", "step", fault="step-bench slow")
        self.assertEqual(code, 0, table)
        self.assertIn("step/resnet18 fp16 has no target until the ceilings are measured", table)
        code, table = self.call("--only", "step,ceilings")
        self.assertEqual(code, 1, table)

    def test_a_damaged_results_file_costs_the_results(self):
        for text in ("", "{", "[]", '{"format": 1, "pieces": 3, "device": "NVIDIA H200", "driver": "580.65.06"}'):
            self.json.write_text(text, encoding="utf-8")
            self.assertEqual(self.call("--only", "ceilings")[0], 0)

    def test_wrong_calls(self):
        self.assertEqual(self.call("--only", "speed")[0], 2)
        self.assertEqual(self.call("--budget", "nan")[0], 2)
        self.assertEqual(self.call("--only", "step", gpu=None)[0], 2)

    def test_the_plan_names_all_pieces_and_keeps_to_the_budget(self):
        code, text = self.call("--plan", gpu=None)
        self.assertEqual(code, 0)
        self.assertEqual(len(text.splitlines()), len(script.all_pieces()))
        first = [line.split()[2] for line in text.splitlines() if line.startswith("  call 1 ")]
        self.assertLessEqual(float(first[-1]), 540)
        self.assertIn("  needs a budget of 110 s: compile/resnet18 fp16 compile", self.call("--plan", "--budget", "100")[1])
        second = [line for line in text.splitlines() if line.startswith("  call 2 ") and float(line.split()[2]) <= 300]
        for part in ("compile/resnet18", "memcheck/", "racecheck/"):
            self.assertTrue(any(part in line for line in second), f"{part} is to be in a second call of 300 s")


class Rehearsal(GpuCheck):
    def rehearse(self, *words, fault=""):
        return subprocess.Popen([sys.executable, *self.arguments("--rehearse", *words)], env={**self.environment, "FAULT": fault}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_runs_each_part(self):
        process = self.rehearse("--budget", "60")
        table, errors = process.communicate()
        self.assertEqual(process.returncode, 0, table + errors)
        for part in {piece.part for piece in script.all_pieces()}:
            self.assertRegex(table, f"  {part} .* passed ")
        self.assertTrue(all("--device cpu" in call for call in self.calls() if call.startswith(("step-bench", "kernel-bench"))))

    def test_what_had_ended_is_kept_when_it_is_killed(self):
        process = self.rehearse("--budget", "60", fault="step-bench hang resnet34")
        while not any("resnet34" in call for call in self.calls(keep=True)):
            self.assertIsNone(process.poll(), "it hangs in this step until it is stopped")
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        process.communicate()
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assertEqual(set(self.statuses().values()), {"passed"})
        self.assertIn("ops/contracts and forward", self.statuses())


class Targets(unittest.TestCase):
    def test_speeds_are_those_of_the_ceilings(self):
        self.assertAlmostEqual(targets.wanted_speed("resnet18", 3.0e12, 790e12), 20000, delta=200)
        self.assertAlmostEqual(targets.wanted_speed("resnet34", 3.0e12, 790e12), 11100, delta=200)
        self.assertAlmostEqual(targets.wanted_speed("resnet18", 4.3e12, 784e12), 23600, delta=200)
        self.assertAlmostEqual(targets.wanted_speed("resnet34", 4.3e12, 784e12), 12900, delta=200)

    def test_kernels_have_three_microseconds_a_launch(self):
        self.assertAlmostEqual(targets.most_seconds({"bytes": 0.9e9, "launches": 2}, 1e12), 1e-3 + 6e-6)

    def test_not_a_number_misses_each_target(self):
        nan = float("nan")
        ceilings = {"ceilings/x": {"copy_bytes_per_second": 4e12, "matmul_f16_flops_per_second": 7e14}}
        ours = {"step/resnet18 fp16": {"row": {"model": "resnet18", "images_per_second": nan}}}
        theirs = {"pytorch/resnet18 fp16 graph": {"row": {"images_per_second": 1.0}}}
        row = {"kernel": "Add", "shape": "1", "type": "f16", "median_us": nan, "bytes": 1.0, "launches": 1}
        problems, _ = targets.judge({**ceilings, **ours, **theirs, "kernels/x": {"rows": [row]}, "training/cpu": {"top1_error": nan}})
        self.assertEqual(set(problems), {*ours, *theirs, "kernels/x", "training/cpu"})

    def test_a_convolutions_operations(self):
        self.assertEqual(plans.flops_of("forward f16 256x56x56x64 to 128, 3x3, stride 2, padding 1"), 2 * 256 * 28 * 28 * 64 * 128 * 9)
        self.assertEqual(plans.flops_of("backward-data+sums without mask bf16 1x7x7x512 to 512, 1x1, stride 1, padding 0"), 2 * 49 * 512 * 512)
        self.assertIsNone(plans.flops_of("matmul f16 to f32 256x1000x512 nt, aligned to 256"))


if __name__ == "__main__":
    unittest.main()
