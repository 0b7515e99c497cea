#!/usr/bin/env python3
"""docs_test.py --bin DIR: holds the documents to the tree and to the programs. Links lead somewhere, flags that are named exist, README
is short."""

import argparse
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
SCRIPTS = ["tools/setup", "tools/quickstart", "tools/check", "tools/bundle", "tools/gpu-check", "tools/degradation", "tools/plot-curves", "tools/plot-kernels", "tools/plot-layers", "tools/report", "tools/convert-weights", "bench/compare", "bench/scaling", "bench/predict-kernels", "tools/lint"]
PROGRAMS = ["train-imagenet", "classify", "export-onnx", "pack-imagenet", "verify-imagenet", "step-bench", "allreduce-bench", "kernel-bench", "loader-bench"]
# Of cmake, ctest, git, GoogleTest and TensorBoard.
FLAGS_OF_OTHERS = {"--preset", "--build", "--install", "--prefix", "--target", "--logdir", "--gtest_filter", "--recursive", "--output-on-failure", "--parallel", "--time", "--requeue", "--mpi", "--no-python", "--host", "--mca", "--oversubscribe", "--nproc-per-node"}
BIN = None


def heading_anchors(text):
    """As GitHub makes them of headings."""
    for heading in re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def help_of(command):
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


class Documents(unittest.TestCase):
    def test_links_lead_somewhere(self):
        self.assertGreater(len(DOCUMENTS), 5)
        links = 0
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)\s]+)\)", without_code(document.read_text(encoding="utf-8"))):
                if re.match(r"[a-z]+:", target):
                    continue
                links += 1
                path, _, anchor = target.partition("#")
                file = (document.parent / path).resolve() if path else document
                with self.subTest(document=document.name, target=target):
                    self.assertTrue(file.exists(), f"{file} does not exist")
                    if anchor:
                        self.assertIn(anchor, list(heading_anchors(file.read_text(encoding="utf-8"))))
        self.assertGreater(links, 10)

    def test_flags_that_are_named_exist(self):
        helps = [help_of([BIN / program]) for program in PROGRAMS] + [help_of([ROOT / script]) for script in SCRIPTS]
        known = set(FLAGS_OF_OTHERS) | {"--help", "--version"}
        for text in helps:
            known.update(re.findall(r"--[a-z][a-z0-9_-]*", text))
        for peer in (ROOT / "bench/peers").glob("*.py"):  # they need packages even to print their help
            known.update(re.findall(r'add_argument\((?:"-.", )?"(--[a-z-]+)"', peer.read_text(encoding="utf-8")))
        named = 0
        for document in DOCUMENTS:
            text = document.read_text(encoding="utf-8")
            # The tutorials declare settings of their own.
            own = {f"--{name}" for name in re.findall(r"settings\.\w+\(\"([a-z-]+)\"", text)}
            for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]+", text)):
                named += 1
                with self.subTest(document=document.name):
                    self.assertIn(flag, known | own)
        self.assertGreater(named, 20)

    def test_files_that_are_named_exist(self):
        for document in DOCUMENTS:
            for path in set(re.findall(r"`((?:core|cuda|models|tools|tests|bench|docs|cmake)/[\w./-]+\.(?:h|cpp|cu|cuh|py|toml|md|sh|cmake))`", document.read_text(encoding="utf-8"))):
                if document.name.startswith("adding-"):
                    continue  # these name the files that the reader writes
                with self.subTest(document=document.name):
                    self.assertTrue((ROOT / path).exists(), f"{path} does not exist")

    def test_promises_name_tests_that_exist(self):
        tests = set()
        for file in (ROOT / "tests").glob("**/*.cpp"):
            tests.update(f"{suite}.{name}" for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", file.read_text(encoding="utf-8"), re.MULTILINE))
        tests.update(re.findall(r"add_test\(NAME (\w+\.\w+)", (ROOT / "tests/CMakeLists.txt").read_text(encoding="utf-8")))
        for file in (ROOT / "tests/tools").glob("*.py"):
            text = file.read_text(encoding="utf-8")
            for suite in re.findall(r"^class (\w+)\(", text, re.MULTILINE):
                tests.update(f"{suite}.{name}" for name in re.findall(r"def (test_\w+)", text))
        named = re.findall(r"`([A-Z]\w*\.\w+)`", (ROOT / "docs/promises.md").read_text(encoding="utf-8"))
        self.assertGreater(len(named), 40)
        self.assertEqual([name for name in named if name not in tests], [])

    def test_readme_is_short(self):
        lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        self.assertLessEqual(len(lines), 120)
        self.assertEqual([line for line in lines if len(line) > 120], [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    BIN = arguments.bin.resolve()
    unittest.main(argv=[sys.argv[0], *rest])
