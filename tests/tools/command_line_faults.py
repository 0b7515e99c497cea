#!/usr/bin/python3
"""Holds train-imagenet, classify and plot-curves to what a user meets on the command line: exit codes, files left, words told.

usage: command_line_faults.py [--bin DIR] [unittest's arguments]

Each test is a fault that the programs once had. Exit code 0: none is there."""

import argparse
import contextlib
import json
import os
import pickle
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build/cpu/bin"


def small(batch=4, workers=1):
    """The flags of a tiny run: 16 px, one thread, each step reported."""
    flags = f"--model resnet20 --crop-size 16 -b {batch} --workers {workers} --threads 1"
    return [*flags.split(), "--precision", "fp32", "--device", "cpu", "--log-every", "1"]


SMALL = small()
SYNTHETIC = ["--dataset", "synthetic", "--synthetic-images", "32", *SMALL]

TRUNCATED = b"P6\n20 18\n255\nends early"

# Stands in for matplotlib, which takes seconds to load: every name is there, and a figure that is saved becomes a file.
MATPLOTLIB = """
class Anything:
    def __getattr__(self, name): return self
    def __call__(self, *arguments, **named): return self
class Figure(Anything):
    def savefig(self, path, **named):
        with open(path, "wb") as file: file.write(b"a picture")
rcParams = {}
def use(backend): pass
"""
PYPLOT = """
from matplotlib import Anything, Figure
def subplots(*arguments, **named): return Figure(), (Anything(), Anything())
def close(figure): pass
"""


# A disk that does not answer when this file is opened.
DEAD_DISK = r"""
#include <cstdarg>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>
namespace {
int open_or_hang(const char* call, const char* path, int flags, int mode) {
  if (std::strstr(path, "dog04.ppm") != nullptr) {
    for (;;) ::pause();
  }
  return reinterpret_cast<int (*)(const char*, int, ...)>(::dlsym(RTLD_NEXT, call))(path, flags, mode);
}
}
extern "C" int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = va_arg(rest, int);
  va_end(rest);
  return open_or_hang("open", path, flags, mode);
}
extern "C" int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = va_arg(rest, int);
  va_end(rest);
  return open_or_hang("open64", path, flags, mode);
}
"""


def ppm(seed):
    """An image of noise; its size too depends on the seed."""
    noise = random.Random(seed)
    width, height = 16 + seed % 5, 16 + seed % 3
    return b"P6\n%d %d\n255\n" % (width, height) + noise.randbytes(width * height * 3)


def png(width, height):
    """A black gray-scale image."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + width) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def rle_bmp():
    """A sound 4 x 2 BMP of 8 bits a pixel whose rows are run-length encoded."""
    rows = b"\x04\x00\x00\x00" + b"\x04\x01\x00\x01"
    palette = struct.pack("<III", 0x000000, 0xFF0000, 0x00FF00)
    offset = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 1, len(rows), 2835, 2835, len(palette) // 4, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + rows


def image_folder(folder, train, val):
    """Writes `train` and `val` images of each class, cat and dog: <class>/<class>07.ppm."""
    for split, count in (("train", train), ("val", val)):
        for label, name in enumerate(("cat", "dog")):
            class_folder = folder / split / name
            class_folder.mkdir(parents=True)
            for i in range(count):
                seed = (label * 1000 + i) * 2 + (split == "val")
                (class_folder / f"{name}{i:02}.ppm").write_bytes(ppm(seed))


def read_safetensors(path):
    """Returns the metadata and {name: (type, shape, bytes)}."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    return metadata, tensors


def write_safetensors(path, metadata, tensors):
    header, offset = {"__metadata__": metadata}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def files_of(folder):
    """The bytes of its files; the lock names whoever came last, also a run that was refused."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "run.lock"}


def records(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def tools_folder():
    """The scripts that belong to the programs: an archive's, or the source tree's that holds the build folder."""
    for folder in BIN.parents:
        if (folder / "tools/plot-curves").exists():
            return folder / "tools"
    return ROOT / "tools"


class Faults(unittest.TestCase):
    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory(prefix="residua-faults-")
        cls.addClassCleanup(cls.shared.cleanup)
        shared = Path(cls.shared.name)
        (shared / "python/matplotlib").mkdir(parents=True)
        (shared / "python/matplotlib/__init__.py").write_text(MATPLOTLIB)
        (shared / "python/matplotlib/pyplot.py").write_text(PYPLOT)
        cls.environment = {
            **os.environ,
            "PYTHONPATH": str(shared / "python"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_WAIT_POLICY": "passive",
            "LC_ALL": "C.UTF-8",
        }
        cls.trained = shared / "trained"
        image_folder(cls.trained / "photos", train=6, val=2)
        command = [BIN / "train-imagenet", "photos", *SMALL, "--iterations", "2", "--output", "run"]
        subprocess.run(command, cwd=cls.trained, env=cls.environment, check=True, capture_output=True, timeout=60)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="residua-faults-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()

    @contextlib.contextmanager
    def case(self, name, trained=False):
        """A sub-test in an empty folder of its own, or in one with photos/ and run/, a run of two iterations on them."""
        with self.subTest(name):
            parent = self.folder
            self.folder = Path(tempfile.mkdtemp(dir=parent))
            try:
                if trained:
                    shutil.copytree(self.trained, self.folder, dirs_exist_ok=True)
                yield
            finally:
                self.folder = parent

    def run_program(self, program, *arguments, cwd=None, **streams):
        """Sets `code`, `out`, `err` and `text`, which is both of them."""
        command = [str(program), *map(str, arguments)]
        if not streams:
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        done = subprocess.run(
            command, cwd=cwd or self.folder, env=self.environment, stdin=subprocess.DEVNULL, timeout=60, **streams
        )
        self.code = done.returncode
        self.out = (done.stdout or b"").decode("utf-8", "surrogateescape")
        self.err = (done.stderr or b"").decode("utf-8", "surrogateescape")
        self.text = self.out + self.err
        self.told = f"{' '.join(command)}\nexit code {self.code}\n{self.text[-3000:]}"
        self.assertGreaterEqual(self.code, 0, "ended by a signal: " + self.told)

    def train(self, *arguments, cwd=None):
        self.run_program(BIN / "train-imagenet", *arguments, cwd=cwd)

    def classify(self, *arguments):
        self.run_program(BIN / "classify", "--device", "cpu", *arguments)

    def assert_done(self):
        self.assertEqual(self.code, 0, self.told)

    def assert_refused(self, *words, code=2):
        """The exit code, and words of the message."""
        self.assertEqual(self.code, code, self.told)
        for word in words:
            self.assertIn(word, self.err, self.told)

    def assert_kept(self, before, folder):
        """Every file of `before` is there with the same bytes."""
        after = files_of(folder)
        changed = [name for name, data in before.items() if after.get(name) != data]
        self.assertEqual(changed, [], "changed or lost. " + self.told)

    # Output folders.

    def test_default_output_folder_is_named_after_the_data_folder(self):
        for directory, cwd, names in (
            ("photos/", ".", {"resnet20-photos"}),
            ("photos/.", ".", {"resnet20-photos"}),
            (".", "photos", {"resnet20-photos"}),
            ("..", "photos/notes", {"resnet20-photos"}),
            ("link/", ".", {"resnet20-photos", "resnet20-link"}),
        ):
            with self.case(directory):
                image_folder(self.folder / "photos", train=2, val=1)
                (self.folder / "photos/notes").mkdir()
                (self.folder / "link").symlink_to("photos")
                self.train(directory, *SMALL, "--iterations", "1", cwd=self.folder / cwd)
                self.assert_done()
                made = [path.parent for path in self.folder.rglob("last.safetensors")]
                self.assertEqual(len(made), 1, self.told)
                self.assertEqual(made[0].parent, self.folder / cwd / "runs", self.told)
                self.assertIn(made[0].name, names, self.told)

    def test_actions_do_not_name_an_output_folder_that_is_never_made(self):
        for action in (["--evaluate", "--weights", "run/last.safetensors"], ["--data-only"], ["--overfit-batch"]):
            with self.case(action[0], trained=True):
                self.train("photos", *SMALL, "--iterations", "1", *action)
                self.assert_done()
                self.assertFalse((self.folder / "runs").exists(), self.told)
                self.assertNotIn("runs/", self.text, self.told)

    def test_moved_run_goes_on_where_it_is(self):
        def resume(*arguments, cwd=None):
            self.train(*arguments, "--iterations", "4", cwd=cwd)
            self.assert_done()
            self.assertEqual(records(self.folder / "moved")[-1]["iteration"], 4, self.told)
            self.assertEqual(len(list(self.folder.rglob("last.safetensors"))), 1, "another run was made. " + self.told)

        for way in (["--resume", "moved/checkpoint-2.safetensors"], ["--resume", "auto", "--output", "moved"]):
            with self.case(way[1], trained=True):
                (self.folder / "run").rename(self.folder / "moved")
                resume("photos", *way)
        with self.case("from another working directory", trained=True):
            (self.folder / "run").rename(self.folder / "moved")
            (self.folder / "elsewhere").mkdir()
            resume("../photos", "--resume", "../moved/checkpoint-2.safetensors", cwd=self.folder / "elsewhere")

    # --resume auto.

    def test_resume_auto_refuses_weights_without_a_usable_checkpoint(self):
        def damage(how, checkpoint):
            if how == "removed":
                checkpoint.unlink()
            else:
                os.truncate(checkpoint, 0 if how == "empty" else checkpoint.stat().st_size // 2)

        for how in ("removed", "empty", "cut short"):
            with self.case(how, trained=True):
                run = self.folder / "run"
                for checkpoint in run.glob("checkpoint-*.safetensors"):
                    damage(how, checkpoint)
                before = files_of(run)
                self.train("photos", *SMALL, "--iterations", "4", "--output", "run", "--resume", "auto")
                self.assert_refused("run", "checkpoint")
                self.assertRegex(self.err, r"new run|--output|[Rr]emove|[Mm]ove|[Rr]ename", self.told)
                self.assert_kept(before, run)

    def test_resume_auto_renames_a_log_that_is_alone(self):
        log = b'{"type":"train","iteration":999,"epoch":9,"loss":1.0,"top1_error":1,"top5_error":1,"lr":0.1}\n'
        run = self.folder / "run"
        run.mkdir()
        (run / "log.jsonl").write_bytes(log)
        self.train(*SYNTHETIC, "--iterations", "1", "--output", "run", "--resume", "auto")
        self.assert_done()
        kept = [name for name, data in files_of(run).items() if data == log]
        self.assertEqual(len(kept), 1, f"the old log is gone: {sorted(files_of(run))}. " + self.told)
        self.assertIn(Path(kept[0]).name, self.text, self.told)
        self.assertEqual({record["iteration"] for record in records(run)}, {1}, self.told)

    def test_advice_to_resume_works_with_the_default_output_folder(self):
        for data in (["photos", *SMALL], SYNTHETIC):
            with self.case(data[0]):
                image_folder(self.folder / "photos", train=4, val=1)
                self.train(*data, "--iterations", "2", "--resume", "auto")  # nothing is there yet
                self.assert_done()
                self.train(*data, "--iterations", "2")
                self.assert_refused("--resume auto")
                (run,) = (path.parent for path in self.folder.rglob("log.jsonl"))
                log = (run / "log.jsonl").read_bytes()
                self.train(*data, "--iterations", "4", "--resume", "auto")
                self.assert_done()
                self.assertTrue((run / "log.jsonl").read_bytes().startswith(log), self.told)
                self.assertEqual(records(run)[-1]["iteration"], 4, self.told)

    def test_advice_to_begin_from_weights_names_a_file_that_exists(self):
        self.train(*SYNTHETIC, "--iterations", "1", "--output", "run")
        self.assert_done()
        other = ["--dataset", "synthetic", "--synthetic-images", "48", *SMALL, "--iterations", "2"]
        self.train(*other, "--resume", "run/checkpoint-1.safetensors", "--output", "new")
        self.assert_refused("run/checkpoint-1.safetensors")
        for file in re.findall(r"--weights (\S+?)[,;:.]?(?:\s|$)", self.err):
            self.assertTrue((self.folder / file).is_file(), f"{file} does not exist. " + self.told)
            advice = self.told
            self.train(*other, "--output", "pasted", "--weights", file)
            self.assertEqual(self.code, 0, advice + self.told)

    # What a run is resumed on.

    def assert_resume_refused(self, *words):
        before = files_of(self.folder / "run")
        self.train("photos", "--output", "run", "--resume", "auto", "--iterations", "4")
        self.assert_refused(*words)
        self.assert_kept(before, self.folder / "run")

    def test_resume_refuses_other_class_names(self):
        with self.case("renamed", trained=True):
            for split in ("train", "val"):
                (self.folder / "photos" / split / "cat").rename(self.folder / "photos" / split / "zebra")
            self.assert_resume_refused("cat", "zebra")

    def test_resume_knows_its_training_images(self):
        with self.case("swapped", trained=True):
            train = self.folder / "photos/train"
            (train / "cat/cat00.ppm").rename(train / "dog/cat00.ppm")
            (train / "dog/dog00.ppm").rename(train / "cat/dog00.ppm")
            self.assert_resume_refused("training")

    def test_resume_knows_its_validation_images(self):
        with self.case("swapped", trained=True):
            val = self.folder / "photos/val"
            (val / "cat/cat00.ppm").rename(val / "dog/cat00.ppm")
            (val / "dog/dog00.ppm").rename(val / "cat/dog00.ppm")
            self.assert_resume_refused("validation")

    # Weights.

    def test_weights_of_other_classes_are_refused(self):
        with self.case("renamed", trained=True):
            for split in ("train", "val"):
                (self.folder / "photos" / split / "cat").rename(self.folder / "photos" / split / "zebra")
            self.train("photos", *SMALL, "--iterations", "1", "--output", "new", "--weights", "run/last.safetensors")
            self.assert_refused("cat", "zebra", "run/last.safetensors")
            self.assertFalse((self.folder / "new/last.safetensors").exists(), self.told)

    def use_weights(self, file):
        """Gives the file to each program that takes weights; yields the name of each."""
        data = ["photos", *SMALL, "--iterations", "1"]
        yield "train", lambda: self.train(*data, "--output", "new", "--weights", file)
        yield "evaluate", lambda: self.train(*data, "--evaluate", "--weights", file)
        yield "classify", lambda: self.classify("photos/val/cat/cat00.ppm", "--model", "resnet20", "--weights", file)

    def test_pytorch_file_is_named_with_how_to_convert_it(self):
        for kind in ("zip", "pickle"):
            with self.case(kind, trained=True):
                file = self.folder / "model.pth"
                if kind == "zip":
                    with zipfile.ZipFile(file, "w") as archive:
                        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
                        archive.writestr("archive/version", "3\n")
                else:  # the magic number, the protocol and the state, as torch.save wrote them before 1.6
                    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {})
                    file.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
                for name, use in self.use_weights("model.pth"):
                    with self.subTest(name):
                        use()
                        self.assert_refused("model.pth", "PyTorch", "safetensors")
                        self.assertRegex(self.err, "save_file|convert", self.told)

    def test_checkpoint_and_weights_say_which_file_to_use(self):
        with self.case("checkpoint as weights", trained=True):
            for name, use in self.use_weights("run/checkpoint-2.safetensors"):
                with self.subTest(name):
                    use()
                    self.assert_refused("run/checkpoint-2.safetensors")
                    self.assertRegex(self.err, r"(last|best)\.safetensors", self.told)
        with self.case("weights as checkpoint", trained=True):
            self.train("photos", *SMALL, "--iterations", "4", "--resume", "run/last.safetensors")
            self.assert_refused("run/last.safetensors", "checkpoint-2.safetensors", "resume")

    def test_prefix_of_data_parallel_weights_is_stripped_or_named(self):
        with self.case("module.", trained=True):
            metadata, tensors = read_safetensors(self.folder / "run/last.safetensors")
            prefixed = {"module." + name: tensor for name, tensor in tensors.items()}
            write_safetensors(self.folder / "parallel.safetensors", metadata, prefixed)
            expected = {}
            for name, use in self.use_weights("run/last.safetensors"):
                use()
                self.assert_done()
                expected[name] = self.out
                shutil.rmtree(self.folder / "new", ignore_errors=True)
            for name, use in self.use_weights("parallel.safetensors"):
                with self.subTest(name):
                    use()
                    if self.code != 0:
                        self.assert_refused("parallel.safetensors", "module.", "prefix")
                    elif name != "train":  # which tells how fast it was
                        answer = self.out.replace("parallel.safetensors", "run/last.safetensors").splitlines()
                        self.assertEqual(answer[-2:], expected[name].splitlines()[-2:], self.told)

    def test_weights_that_are_not_finite_are_refused(self):
        with self.case("NaN", trained=True):
            metadata, tensors = read_safetensors(self.folder / "run/last.safetensors")
            dtype, shape, data = tensors["conv1.weight"]
            tensors["conv1.weight"] = (dtype, shape, data[:40] + struct.pack("<f", float("nan")) + data[44:])
            write_safetensors(self.folder / "damaged.safetensors", metadata, tensors)
            for name, use in self.use_weights("damaged.safetensors"):
                with self.subTest(name):
                    use()
                    self.assert_refused("damaged.safetensors", "conv1.weight", "finite")
                    self.assertFalse((self.folder / "new/last.safetensors").exists(), self.told)

    # The images.

    def test_unreadable_training_image_takes_no_part_in_the_batch(self):
        # In the order of the set and with a batch of 8, cat07 is the last of its batch, and dog20 and dog21 follow each other.
        for name in ("unreadable", "twin"):
            image_folder(self.folder / name, train=64, val=1)
        for bad, replacement in (("cat/cat07", "cat/cat08"), ("dog/dog20", "dog/dog22"), ("dog/dog21", "dog/dog22")):
            twin = self.folder / "twin/train"
            (twin / f"{bad}.ppm").write_bytes((twin / f"{replacement}.ppm").read_bytes())
            (self.folder / "unreadable/train" / f"{bad}.ppm").write_bytes(TRUNCATED)
        length = ["--no-shuffle", "--epochs", "2"]
        self.train("twin", *small(batch=8), *length, "--output", "expected")
        self.assert_done()
        _, expected = read_safetensors(self.folder / "expected/last.safetensors")
        for workers in (0, 1, 3):
            with self.subTest(workers=workers):
                self.train("unreadable", *small(batch=8, workers=workers), *length, "--output", f"run{workers}")
                self.assert_done()
                self.assertIn("cat07.ppm", self.text, self.told)
                _, got = read_safetensors(self.folder / f"run{workers}/last.safetensors")
                self.assertEqual(got.keys(), expected.keys())
                self.assertEqual([name for name in got if got[name] != expected[name]], [], "tensors that differ")

    def test_without_shuffling_the_last_incomplete_batch_is_trained(self):
        image_folder(self.folder / "photos", train=5, val=1)
        self.train("photos", *SMALL, "--no-shuffle", "--epochs", "1", "--output", "run")
        self.assert_done()
        trained = [record["iteration"] for record in records(self.folder / "run") if record["type"] == "train"]
        self.assertEqual(trained, [1, 2, 3], "10 images in batches of 4. " + self.told)

    def test_header_tells_how_many_images_an_epoch_trains(self):
        image_folder(self.folder / "photos", train=15, val=1)
        self.train("photos", *SMALL, "--iterations", "1", "--output", "run")
        self.assert_done()
        header = self.out.partition("iter 1/")[0]
        self.assertRegex(header, r"(?<![\d.])28(?!\d|\.\d)", "30 images in batches of 4. " + self.told)

    ACTIONS = (["--output", "run"], ["--data-only"], ["--overfit-batch"])

    def test_one_class_is_refused_in_every_action(self):
        image_folder(self.folder / "photos", train=6, val=2)
        for split in ("train", "val"):
            shutil.rmtree(self.folder / "photos" / split / "dog")
        metadata, tensors = read_safetensors(self.trained / "run/last.safetensors")
        for name in ("fc.weight", "fc.bias"):
            dtype, (classes, *rest), data = tensors[name]
            tensors[name] = (dtype, [1, *rest], data[: len(data) // classes])
        metadata["classes"] = '["cat"]'
        write_safetensors(self.folder / "one.safetensors", metadata, tensors)
        for action in (*self.ACTIONS, ["--evaluate", "--weights", "one.safetensors"]):
            with self.subTest(action[0]):
                self.train("photos", *SMALL, "--iterations", "1", *action)
                self.assert_refused("class")
                self.assertFalse((self.folder / "run/last.safetensors").exists(), self.told)

    def test_nothing_readable_ends_every_action(self):
        actions = [(action, limit) for limit in ([], ["--max-bad-images", "100000"]) for action in self.ACTIONS]
        for action, limit in [*actions, (["--evaluate", "--weights", "run/last.safetensors"], [])]:
            with self.case(" ".join(action + limit), trained=True):
                run = self.folder / "run/last.safetensors"
                if "--evaluate" not in action:
                    shutil.rmtree(run.parent)
                split = "val" if "--evaluate" in action else "train"
                for file in (self.folder / "photos" / split).rglob("*.ppm"):
                    file.write_bytes(TRUNCATED)
                self.train("photos", *SMALL, "--iterations", "4", *limit, *action)
                self.assert_refused(".ppm", code=1)
                self.assertEqual(run.exists(), "--evaluate" in action, "weights of nothing. " + self.told)

    def test_every_action_reports_an_unreadable_image(self):
        image_folder(self.folder / "photos", train=32, val=2)
        (self.folder / "photos/train/cat/cat00.ppm").write_bytes(TRUNCATED)
        for action in self.ACTIONS:
            with self.subTest(action[0]):
                self.train("photos", *SMALL, "--no-shuffle", "--iterations", "1", *action)
                self.assert_done()
                self.assertIn("cat00.ppm", self.text, self.told)

    def test_names_of_files_cannot_change_the_terminal(self):
        image_folder(self.folder / "photos", train=32, val=2)
        (self.folder / "photos/train/cat/\x1b[2J.ppm").write_bytes(TRUNCATED)
        self.train("photos", *SMALL, "--no-shuffle", "--iterations", "1")
        self.assert_done()
        self.assertIn("\\x1b[2J.ppm", self.text, self.told)
        self.assertNotIn("\x1b", self.text, self.told)
        self.train("\x1b[2J")
        self.assert_refused("\\x1b[2J")
        self.assertNotIn("\x1b", self.text, self.told)

    def test_a_disk_that_does_not_answer_ends_the_run(self):
        compiler = shutil.which("c++")
        if compiler is None:
            self.skipTest("no compiler for the stand-in of a dead disk")
        image_folder(self.folder / "photos", train=6, val=2)
        (self.folder / "dead.cpp").write_text(DEAD_DISK)
        library = self.folder / "dead.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, self.folder / "dead.cpp", "-ldl"], check=True)
        # The eleventh of twelve images: two batches of four are trained before.
        run = ["photos", *small(workers=2), "--no-shuffle", "--epochs", "9", "--evaluate-every", "9", "--read-timeout", "3"]
        environment = self.environment
        self.environment = {**environment, "LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0"}
        try:
            self.train(*run, "--output", "run")
        finally:
            self.environment = environment
        self.assertEqual(self.code, 1, self.told)
        self.assertIn("no image has been read for 3 seconds", self.err)
        self.assertRegex(self.err, r"being read:\n  photos/train/dog/dog04\.ppm\n")
        self.assertIn("saved at iteration 2 of", self.out)
        self.train("--output", "run", "--resume", "auto", "--epochs", "2")
        self.assert_done()

    def test_limit_of_bad_images_is_also_a_share_of_the_set(self):
        image_folder(self.folder / "photos", train=24, val=2)
        for name in ("cat", "dog"):
            for i in range(20):
                (self.folder / f"photos/train/{name}/{name}{i:02}.ppm").write_bytes(TRUNCATED)
        for action in (["--output", "run"], ["--data-only"]):
            with self.subTest(action[0]):
                self.train("photos", *SMALL, "--epochs", "1", *action)
                self.assert_refused(".ppm", code=1)

    def test_files_left_out_for_their_names_are_counted(self):
        image_folder(self.folder / "photos", train=6, val=2)
        for i in range(13):
            (self.folder / f"photos/train/cat/left{i}.gif").write_bytes(b"GIF89a")
        for i in range(4):
            (self.folder / f"photos/train/dog/left{i}").write_bytes(ppm(i))
        for action in (["--output", "run"], ["--data-only"]):
            with self.subTest(action[0]):
                self.train("photos", *SMALL, "--iterations", "1", *action)
                self.assert_done()
                self.assertIn(".gif", self.text, self.told)
                numbers = set(re.findall(r"(?<![\d.])\d+(?!\d|\.\d)", self.text))
                self.assertTrue("17" in numbers or {"13", "4"} <= numbers, "13 and 4 files. " + self.told)

    def test_jfif_file_is_an_image_or_is_told(self):
        image_folder(self.folder / "photos", train=6, val=2)
        (self.folder / "photos/train/cat/cat.jfif").write_bytes(ppm(1))  # what it holds is seen when it is decoded
        self.train("photos", *SMALL, "--data-only")
        self.assert_done()
        self.assertRegex(self.text, r"\b13 training|\.jfif", self.told)

    def test_accepted_types_are_those_that_can_be_read(self):
        image_folder(self.folder / "photos", train=6, val=2)
        with self.subTest("a file of a type that no decoder reads"):
            (self.folder / "photos/train/cat/cat.webp").write_bytes(b"RIFF\x1a\0\0\0WEBPVP8L")
            self.train("photos", *SMALL, "--data-only")
            self.assert_done()
            self.assertIn(".webp", self.text, self.told)
        with self.subTest("the types that a message lists"):
            (self.folder / "photos/train/empty").mkdir()
            self.train("photos", *SMALL, "--data-only")
            self.assert_refused("empty", "PNG")
            for wrong in ("webp", "WebP", "tif", "TIFF"):
                self.assertNotIn(wrong, self.err, self.told)

    def test_reason_why_an_image_cannot_be_decoded(self):
        for name, data, reason in (
            ("rle.bmp", rle_bmp(), r"RLE|[Rr]un-length|[Cc]ompress"),
            ("wide.png", png(2**24 + 1, 1), r"large|wide|at most|16777216"),
        ):
            with self.case(name, trained=True):
                (self.folder / name).write_bytes(data)
                self.classify(name, "--weights", "run/last.safetensors")
                self.assert_refused(name)
                self.assertRegex(self.err, reason, self.told)
                self.assertNotIn("unknown image type", self.err, self.told)

    def test_byte_order_mark_of_a_list_of_classes_is_dropped(self):
        with self.case("classes.txt", trained=True):
            (self.folder / "classes.txt").write_bytes(b"\xef\xbb\xbftabby\r\nbeagle\r\n")
            self.classify("photos/val/cat/cat00.ppm", "--weights", "run/last.safetensors", "--classes", "classes.txt")
            self.assert_done()
            names = {line.split("%")[1].strip() for line in self.out.splitlines() if "%" in line}
            self.assertEqual(names, {"tabby", "beagle"}, self.told)

    # Flags, settings and messages.

    def test_a_flag_that_comes_twice_is_named(self):
        for twice in (["--lr", "0.1", "--lr", "0.2"], ["-b", "4", "--batch-size", "8"], ["--output", "a", "-o", "b"]):
            flag = max(word for word in twice if word.startswith("--"))
            with self.case(flag):
                self.train("--dataset", "synthetic", *twice)
                self.assert_refused(flag, twice[1], twice[3], "once")
                self.assertEqual(self.err.count("\n"), 1, self.told)
        self.classify("photo.jpg", "--weights", "w", "--topk", "1", "--topk", "2")
        self.assert_refused("--topk")

    def test_unknown_flags_come_in_their_order_with_the_nearest_known(self):
        self.train("photos", "--modle", "resnet20", "--epohcs", "3")
        self.assert_refused("--modle", "--epohcs", "--model", "--epochs")
        self.assertLess(self.err.index("--modle"), self.err.index("--epohcs"), self.told)

    def test_mean_of_three_words_works_or_says_how(self):
        words = ["--mean", "0.485", "0.456", "0.406"]
        for name, data in (("after", ["photos", *words]), ("before", [*words, "photos"]), ("none", [*words, *SYNTHETIC[:4]])):
            with self.case("DIR: " + name):
                image_folder(self.folder / "photos", train=2, val=1)
                self.train(*data, *SMALL, "--iterations", "1", "--output", "run")
                if self.code == 0:
                    mean = json.loads(read_safetensors(self.folder / "run/last.safetensors")[0]["mean"])
                    self.assertEqual([round(value / 255, 5) for value in mean], [0.485, 0.456, 0.406], self.told)
                else:
                    self.assert_refused("--mean", "0.485,0.456,0.406")

    def test_warm_up_longer_than_the_run_is_told(self):
        self.train(*SYNTHETIC, "--iterations", "2", "--warmup-iterations", "77", "--output", "run")
        self.assertIn(self.code, (0, 2), self.told)
        self.assertRegex(self.text, r"(?i)warm-?up", self.told)
        self.assertIn("77", self.text, self.told)

    def test_config_files_that_cli11_wrote(self):
        def use(text, *arguments):
            (self.folder / "old.toml").write_text(text)
            flags = ["--iterations", "1"] if "iterations=" not in text else []
            self.train("--config", "old.toml", *SYNTHETIC, *flags, *arguments)
            self.assert_done()

        def rate():
            return records(self.folder / "run")[0]["lr"]

        for text, expected in (("lr=.25\n", 0.25), ("lr=05\n", 5), ("lr=1.\n", 1), ("lr=1e-2\n", 0.01)):
            with self.case(text.strip()):
                use(text, "--output", "run", "--warmup-iterations", "0")
                self.assertAlmostEqual(rate(), expected, msg=self.told)
        for name in ("out\\x", "C:\\new\\runs"):
            with self.case(name):
                use(f'output="{name}"\n')
                self.assertTrue((self.folder / name / "last.safetensors").exists(), self.told)
        for text in (
            'mean="{}"\nstd="{}"\nlr-steps="{}"\n',  # CLI11 2.4, empty lists
            'mean="[]"\nstd="[]"\nlr-steps="[]"\n',
            'weights=""\nshortcut=""\naugment=""\n',
        ):
            with self.case(text.splitlines()[0]):
                use(text, "--output", "run")
        with self.case("lists"):
            use('mean=["0.5", "0.25", "1"]\nstd=[0.5, 0.25, 1]\nlr-steps=[1, 2]\niterations=4\nlr=1\n', "--output", "run")
            metadata, _ = read_safetensors(self.folder / "run/last.safetensors")
            self.assertEqual(json.loads(metadata["mean"]), [127.5, 63.75, 255])
            rates = [record["lr"] for record in records(self.folder / "run") if record["type"] == "train"]
            for got, expected in zip(rates, (1, 0.1, 0.01, 0.01), strict=True):
                self.assertAlmostEqual(got, expected, msg=self.told)

    def test_run_whose_config_cli11_wrote_is_resumed(self):
        for empty in ("{}", "[]", ""):
            with self.case(empty, trained=True):
                config = self.folder / "run/config.toml"
                names = ("mean", "std", "lr-steps") if empty else ("mean", "std", "lr-steps", "weights", "shortcut")
                kept = [line for line in config.read_text().splitlines() if line.partition("=")[0].strip() not in names]
                config.write_text("\n".join(kept + [f'{name}="{empty}"' for name in names]) + "\n")
                self.train("photos", "--output", "run", "--resume", "auto", "--iterations", "3")
                self.assert_done()
                self.assertEqual(records(self.folder / "run")[-1]["iteration"], 3, self.told)

    def test_help_is_plain_english(self):
        for program in ("train-imagenet", "classify"):
            with self.subTest(program):
                self.run_program(BIN / program, "--help")
                self.assert_done()
                text = " ".join(self.out.split())
                for phrase in ("times the weight is added to its gradient", "of SGD, as PyTorch has it",
                               "of the CPU device; 0: one a core"):  # fmt: skip
                    self.assertNotIn(phrase, text)
                british = re.findall(r"(?i)\w*(?:colour|initialis|normalis|recognis|behaviour|centre)\w*", text)
                self.assertEqual(british, [], "American spelling is wanted")

    # plot-curves.

    def test_plot_curves_survives_a_standard_output_that_takes_nothing(self):
        script = tools_folder() / "plot-curves"
        record = {"iteration": 1, "epoch": 1.0, "loss": 1.0, "top1_error": 50.0, "top5_error": 5.0, "lr": 0.1}
        run = self.folder / "run"

        def plot(shell_redirection):
            shutil.rmtree(run, ignore_errors=True)
            run.mkdir()
            lines = [json.dumps({"type": kind, **record}) + "\n" for kind in ("train", "validation")]
            (run / "log.jsonl").write_text("".join(lines))
            self.run_program("/bin/bash", "-c", f'"$0" run {shell_redirection}', script)
            self.assert_done()
            self.assertNotIn("Traceback", self.text, self.told)
            self.assertNotIn("Exception", self.text, self.told)
            for name in ("curves.png", "curves.svg"):
                self.assertTrue((run / name).exists(), name + " was not drawn. " + self.told)
            self.assertEqual(list(run.glob("*.tmp")), [], self.told)

        for redirection in ("", ">&-", "> /dev/full", ">&- 2>&-", "| (exec <&-; sleep 0.3); exit ${PIPESTATUS[0]}"):
            with self.subTest(redirection):
                plot(redirection)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--bin", type=Path, default=BIN)
    options, rest = parser.parse_known_args()
    BIN = options.bin.resolve()
    if not (BIN / "train-imagenet").exists():
        sys.exit(f"{BIN} has no train-imagenet: build it, or name the programs' folder with --bin DIR")
    unittest.main(argv=[sys.argv[0], *rest])
