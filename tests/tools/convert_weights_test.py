#!/usr/bin/env python3
"""Holds tools/convert-weights to PyTorch: what goes to safetensors and back keeps every bit. Those tests need a Python with PyTorch, named
by RESIDUA_PYTHON, and skip themselves without one. The others hold its messages."""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools/convert-weights"
PYTHON = os.environ.get("RESIDUA_PYTHON") or sys.executable
HAS_TORCH = subprocess.run([PYTHON, "-c", "import torch"], capture_output=True, check=False).returncode == 0

MAKE = """
import collections, sys, torch
torch.manual_seed(1)
bits = torch.randint(-2**31, 2**31, (5, 3, 3, 2), dtype=torch.int64).to(torch.int32)
state = collections.OrderedDict()
state["conv1.weight"] = bits.view(torch.float32)  # NaN, infinity, denormals
state["bn1.num_batches_tracked"] = torch.tensor(7)
state["half"] = bits.view(torch.float16).clone().transpose(0, 1)  # not contiguous
state["brain"] = bits.view(torch.bfloat16).clone()[::2]
state["bytes"] = torch.arange(6, dtype=torch.uint8)
state["ids"] = torch.arange(4, dtype=torch.int32)
state["empty"] = torch.empty(0, 3)
torch.save({"state_dict": state, "epoch": 3} if len(sys.argv) > 2 else state, sys.argv[1])
"""
SAME = """
import sys, torch
a, b = (torch.load(name, weights_only=True) for name in sys.argv[1:])
a = a.get("state_dict", a)
assert set(a) == set(b), (list(a), list(b))
for name in a:
    assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape, name
    assert a[name].contiguous().view(-1).view(torch.uint8).tolist() == b[name].view(-1).view(torch.uint8).tolist(), name
"""


def safetensors(tensors, metadata=None):
    """The bytes of a file of {name: (type, shape, bytes)}."""
    header, body = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


class ConvertWeights(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def convert(self, *arguments):
        return subprocess.run([PYTHON, TOOL, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)

    def python(self, code, *arguments):
        subprocess.run([PYTHON, "-c", code, *arguments], cwd=self.folder, check=True)

    def assert_refused(self, done, *parts):
        self.assertEqual(done.returncode, 1, done)
        self.assertTrue(done.stderr.startswith("convert-weights: "), done)
        self.assertEqual(done.stderr.count("\n"), 1, done)
        for part in parts:
            self.assertIn(part, done.stderr)

    @unittest.skipUnless(HAS_TORCH, "RESIDUA_PYTHON has no PyTorch")
    def test_there_and_back_keeps_every_bit(self):
        for extra in ([], ["nested"]):
            self.python(MAKE, "a.pth", *extra)
            done = self.convert("a.pth", "b.safetensors", "--metadata", "model=resnet20", "--metadata", "shortcut=A")
            self.assertEqual(done.returncode, 0, done)
            done = self.convert("b.safetensors", "c.pt")
            self.assertEqual(done.returncode, 0, done)
            self.assertIn("model, shortcut", done.stdout)
            self.python(SAME, "a.pth", "c.pt")
            done = self.convert("c.pt", "d.safetensors", "--metadata-of", "b.safetensors")
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual((self.folder / "d.safetensors").read_bytes(), (self.folder / "b.safetensors").read_bytes())

    @unittest.skipUnless(HAS_TORCH, "RESIDUA_PYTHON has no PyTorch")
    def test_checkpoints_of_training_scripts(self):
        self.python("import argparse, torch; torch.save({'model': {'w': torch.ones(2)}, 'epoch': 3, 'args': argparse.Namespace(lr=0.1)}, 'best.pth.tar')")
        done = self.convert("best.pth.tar", "w.safetensors")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stdout, "w.safetensors: 1 tensors, 0.0 MB\n")

    @unittest.skipUnless(HAS_TORCH, "RESIDUA_PYTHON has no PyTorch")
    def test_the_mean_image_comes_back(self):
        image = struct.pack("<12f", *range(12))
        written = safetensors({"input.mean": ("F32", [2, 2, 3], image), "w": ("F32", [2], bytes(8))}, {"model": "resnet20"})
        (self.folder / "a.safetensors").write_bytes(written)
        done = self.convert("a.safetensors", "b.pth")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("input.mean, model", done.stdout)
        self.python("import torch; assert list(torch.load('b.pth')) == ['w']")
        done = self.convert("b.pth", "c.safetensors", "--metadata-of", "a.safetensors")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn(image, (self.folder / "c.safetensors").read_bytes())

    @unittest.skipUnless(HAS_TORCH, "RESIDUA_PYTHON has no PyTorch")
    def test_what_is_no_state_dict_is_refused(self):
        self.python("import torch; torch.save(torch.nn.Linear(2, 2), 'module.pth'); torch.save([1, 2], 'list.pth'); torch.save({'w': 3}, 'number.pth'); torch.save({'w': torch.zeros(2, dtype=torch.float64)}, 'double.pth')")
        (self.folder / "text.pth").write_text("no weights")
        for name, part in (("module", "module.pth is not a PyTorch file that holds tensors alone"), ("list", "holds a list"), ("number", "w is a int"), ("double", "float64"), ("text", "text.pth")):
            with self.subTest(name):
                self.assert_refused(self.convert(f"{name}.pth", "out.safetensors"), part)
                self.assertFalse((self.folder / "out.safetensors").exists())

    def test_damaged_safetensors_are_refused(self):
        good = safetensors({"w": ("F32", [2], bytes(8))})
        cases = {
            "short": good[:4],
            "cut": good[:-1],
            "header": struct.pack("<Q", 1 << 40) + good[8:],
            "json": good.replace(b'"F32"', b'"F32,'),
            "type": good.replace(b'"F32"', b'"F99"'),
            "shape": good.replace(b"[2]", b"[3]"),
        }
        for name, data in cases.items():
            with self.subTest(name):
                (self.folder / f"{name}.safetensors").write_bytes(data)
                self.assert_refused(self.convert(f"{name}.safetensors", "out.pth"), f"{name}.safetensors")

    def test_names_say_which_way(self):
        self.assert_refused(self.convert("a.pth", "b.pth"), "a.pth", "b.pth", ".safetensors")
        self.assert_refused(self.convert("a.onnx", "b.safetensors"), "a.onnx")
        self.assert_refused(self.convert("none.safetensors", "b.pth"), "none.safetensors does not exist")
        (self.folder / "w.safetensors").write_bytes(safetensors({}))
        self.assert_refused(self.convert("w.safetensors", "b.pth", "--metadata", "model=x"), "metadata")

    @unittest.skipIf(HAS_TORCH, "this Python has PyTorch")
    def test_without_pytorch_it_says_so(self):
        (self.folder / "w.pth").write_bytes(b"PK")
        self.assert_refused(self.convert("w.pth", "w.safetensors"), "PyTorch is not installed")


if __name__ == "__main__":
    unittest.main()
