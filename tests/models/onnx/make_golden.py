#!/usr/bin/env python3
"""make_golden.py TESTS: writes golden/*.onnx, the tiny networks of export_test.cpp as the program TESTS (residua-tests) exports them, and
golden/logits.json, what onnxruntime computes from them. Needs onnxruntime and numpy."""

import json
import os
import pathlib
import subprocess
import sys

import numpy
import onnxruntime

GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"

subprocess.run([sys.argv[1], "--gtest_filter=OnnxGolden.*"], env={**os.environ, "RESIDUA_GOLDEN_OUTPUT": str(GOLDEN)}, check=True)
logits = {}
for model in sorted(GOLDEN.glob("*.onnx")):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    pixels = numpy.arange(2 * 3 * 9 * 9) * 31 % 257 % 256
    images = (pixels / 255).astype("float32").reshape(2, 3, 9, 9)
    logits[model.stem] = [float(value) for value in session.run(["logits"], {"images": images})[0].ravel()]
(GOLDEN / "logits.json").write_text(json.dumps(logits, indent=1) + "\n")
