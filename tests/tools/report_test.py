#!/usr/bin/python3
"""tools/report on runs that are made by hand: its numbers, what it says about files that are missing, and that the page needs no other file."""

import base64
import html.parser
import importlib.util
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "report"
NASTY = '<b>&"'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'

FACTS = {
    "format": 1, "version": "1.2.3", "model": "resnet20", "recipe": "photos", "deviations": ["epochs: 2, the recipe has 120"],
    "configuration": {"model": "resnet20", "batch-size": 50, "augment": "flip", "exif": False, "std": [1, 2.5]},
    "iterations": 20, "iterations_per_epoch": 10, "train_images": 500, "validation_images": 62, "parameters": 269722,
    "device": "cpu", "processor": "a <processor>", "precision": "bf16", "threads": 3,
}  # fmt: skip
RESULT = {**FACTS, "diverged": False, "images_per_second": 123.456}
LOG = [
    {"type": "train", "iteration": 10, "epoch": 1.0, "loss": 2.5, "top1_error": 80.0, "top5_error": 40.0, "lr": 0.1, "data_wait": 0.25, "seconds": 100.0},
    {"type": "validation", "iteration": 10, "epoch": 1.0, "images": 62, "loss": 2.0, "top1_error": 30.0, "top5_error": 9.0, "seconds": 20.0},
    {"type": "skipped_image", "iteration": 11, "message": "x"}, {"type": "of a later version"}, ["no record"],
    {"type": "train", "iteration": 20, "epoch": 2.0, "loss": 1.5, "top1_error": 70.0, "top5_error": 35.0, "lr": 0.01, "data_wait": 0.5, "seconds": 80.0},
    {"type": "clean_train", "iteration": 20, "epoch": 2.0, "images": 50, "loss": 1.25, "top1_error": 60.0, "top5_error": 34.0, "seconds": 7.0},
    {"type": "validation", "iteration": 20, "epoch": 2.0, "images": 62, "loss": 1.75, "top1_error": 41.93548, "top5_error": 8.0, "seconds": 30.0},
    {"type": "test", "iteration": 20, "epoch": 2.0, "images": 30, "loss": 1.2, "top1_error": 33.3333, "top5_error": 5.0, "seconds": 3.0},
]
EVALUATION = {
    "format": 1, "iteration": 20, "set": "validation", "protocol": "center", "unreadable_images": 1, "images": 62, "loss": 1.75,
    "top1_error": 41.93548, "top1_interval": [30.4567, 54.3210], "top5_error": 8.06, "top5_interval": [3.4, 17.5],
    "classes": [
        {"name": "cat", "images": 40, "top1_errors": 16, "top5_errors": 1}, {"name": "never", "images": 0, "top1_errors": 0, "top5_errors": 0},
        {"name": NASTY, "images": 20, "top1_errors": 10, "top5_errors": 4}, {"name": "dog", "images": 2, "top1_errors": 0, "top5_errors": 0},
    ],
    "confusions": [{"label": NASTY, "guess": "cat", "images": 10}, {"label": "cat", "guess": "dog", "images": 10}, {"label": "cat", "guess": NASTY, "images": 6}],
    "worst": [
        {"index": 7, "name": "/photos/val/x/<seven>.jpg", "label": NASTY, "guess": "cat", "label_probability": 0.00123, "guess_probability": 0.98765, "loss": 6.7, "view": "worst/7.png"},
        {"index": 3, "name": "three.jpg", "label": "cat", "guess": "dog", "label_probability": None, "guess_probability": None, "loss": None, "view": "worst/3.png"},
        {"index": 4, "name": "four.jpg", "label": "cat", "guess": "dog", "label_probability": 0.2, "guess_probability": 0.5, "loss": 1.6},
    ],
}  # fmt: skip


def png(width, height, value):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([value]) * 3 * width) * height
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Page(html.parser.HTMLParser):
    """What a browser would show: tables by the heading above them, images, and all text."""

    def __init__(self, source):
        super().__init__()
        self.tables, self.images, self.text, self.tags, self.links = {}, [], "", set(), []
        self.heading, self.open, self.rows = "", [], None
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        names = dict(attributes)
        self.links += [names[name] for name in ("src", "href", "srcset", "action", "data") if name in names]
        if tag == "img":
            self.images.append(names)
        elif tag == "table":
            self.rows = []
            self.tables.setdefault(self.heading, []).append(self.rows)
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "h2":
            self.heading = ""
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)
        else:
            self.text += "\n"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
        self.text += "\n"

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open and self.open[-1] == "h2":
            self.heading += data
        if self.open and self.open[-1] != "style":
            self.text += data


class Report(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.run_folder = self.folder / "mine"
        (self.run_folder / "worst").mkdir(parents=True)
        self.write("log.jsonl", "".join(json.dumps(record) + "\n" for record in LOG))
        self.write("run.json", FACTS)
        self.write("result.json", RESULT)
        self.write("evaluation.json", EVALUATION)
        self.write("config.toml", 'DIR = "/home/me/photos/"\ndataset = "auto"\n')
        self.write("curves.svg", SVG)  # newer than the log: it is not drawn again
        self.pngs = {7: png(64, 64, 200), 3: png(224, 200, 90)}
        for index, data in self.pngs.items():
            (self.run_folder / f"worst/{index}.png").write_bytes(data)

    def write(self, name, content):
        (self.run_folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")

    def call(self, folder=None, **options):
        return subprocess.run([SCRIPT, folder or self.run_folder], capture_output=True, env={**os.environ, "MPLCONFIGDIR": str(self.folder), **options})

    def page(self, **options):
        done = self.call(**options)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout.decode(), f"{self.run_folder / 'report.html'}\n")
        self.source = (self.run_folder / "report.html").read_text(encoding="utf-8")
        return Page(self.source)

    def test_numbers_are_those_of_the_files(self):
        page = self.page()
        self.assertIn("The run is finished: iteration 20 of 20.", page.text)
        for line in ("Training run mine", "Data: photos.", "Network: resnet20, 269,722 parameters.", "Training: 500 images, 20 iterations of 50 images (2.0 epochs).", "Validation: 62 images.",
                     "The settings deviate from the recipe photos:", "epochs: 2, the recipe has 120", "Lowest top-1 validation error: 30.00 %, at iteration 10.",
                     "Training speed, without evaluation: 123.5 images a second.",
                     "62 validation images, protocol center: top-1 error 41.94 % (95 % interval 30.46 to 54.32), top-5 error 8.06 % (3.40 to 17.50). 1 more images could not be read."):  # fmt: skip
            self.assertIn(line, page.text)
        self.assertEqual(page.tables["Errors"], [[
            ["evaluated on", "iteration", "images", "loss", "top-1 error %", "top-5 error %"],
            ["validation", "20", "62", "1.7500", "41.94", "8.00"],
            ["test", "20", "30", "1.2000", "33.33", "5.00"],
            ["training images, not augmented", "20", "50", "1.2500", "60.00", "34.00"],
            ["training images, augmented, during training", "20", "-", "1.5000", "70.00", "35.00"],
        ]])  # fmt: skip
        self.assertEqual(page.tables["Machine"][0][1:], [["device", "cpu"], ["processor", "a <processor>"], ["threads of the CPU", "3"], ["precision", "bf16"], ["version of Residua", "1.2.3"]])
        self.assertEqual(page.tables["Settings"][0][1:], [["model", "resnet20"], ["batch-size", "50"], ["augment", "flip"], ["exif", "false"], ["std", "[1, 2.5]"]])

    def test_errors_by_class_the_worst_first(self):
        page = self.page()
        # 10 of 20, 16 of 40, 0 of 2; a class without images has no error.
        self.assertEqual(page.tables["Errors by class"][0][1:], [[NASTY, "20", "10", "50.00", "20.00"], ["cat", "40", "16", "40.00", "2.50"], ["dog", "2", "0", "0.00", "0.00"]])
        self.assertEqual(page.tables["Most frequent confusions"][0][1:], [[NASTY, "cat", "10", "50.00"], ["cat", "dog", "10", "25.00"], ["cat", NASTY, "6", "15.00"]])
        self.assertNotIn("b", page.tags)
        self.assertNotIn("classes with the highest error", page.text)

    def test_of_a_thousand_classes_25_are_shown(self):
        classes = [{"name": f"class {n}", "images": 50, "top1_errors": (n * 7) % 50, "top5_errors": 0} for n in range(1000)]
        self.write("evaluation.json", {**EVALUATION, "classes": classes, "confusions": [{"label": "class 3", "guess": f"class {n}", "images": 1} for n in range(4, 104)]})
        page = self.page()
        rows = page.tables["Errors by class"][0][1:]
        self.assertEqual(len(rows), 25)
        wanted = sorted(range(1000), key=lambda n: -((n * 7) % 50))[:25]
        self.assertEqual([row[0] for row in rows], [f"class {n}" for n in wanted])
        self.assertEqual(rows[0][2:4], ["49", "98.00"])
        self.assertIn("The 25 classes with the highest error, of 1,000.", page.text)
        self.assertEqual(len(page.tables["Most frequent confusions"][0]), 26)

    def test_images_are_in_the_page(self):
        page = self.page()
        found = [image for image in page.images if image["src"].startswith("data:image/png;base64,")]
        self.assertEqual([base64.b64decode(image["src"].partition(",")[2]) for image in found], [self.pngs[7], self.pngs[3]])
        self.assertEqual([image.get("class") for image in found], ["small", None], "an image of 64 pixels is shown enlarged")
        captions = page.text[page.text.index("Worst images") :]
        for line in (f"{NASTY}: 0.1 %\n", "taken for cat: 98.8 %\n", "<seven>.jpg\n", "cat: not finite\n", "three.jpg\n"):
            self.assertIn(line, captions)
        self.assertNotIn("/photos", captions)
        self.assertNotIn("four.jpg", captions, "it has no picture")

    def test_the_page_needs_nothing_else(self):
        page = self.page()
        self.assertEqual(page.open, [])
        self.assertEqual(len(page.images), 3)
        self.assertTrue(all(link.startswith("data:image/") for link in page.links), page.links)
        self.assertFalse(page.tags & {"script", "link", "iframe", "object", "base", "form"})
        self.assertIsNone(re.search(r"https?:|@import|url\(", self.source))

    def test_times_are_split(self):
        # Waiting: 0.25 * 100 + 0.5 * 80 = 65 s of 180 s of training. Validation: 20 + 30 s. In all 180 + 50 + 3 + 7 = 240 s.
        self.assertEqual(self.page().tables["Time"][0][1:], [
            ["training steps", "0:01:55", "47.92"], ["waiting for training images", "0:01:05", "27.08"], ["evaluation: validation", "50.0 s", "20.83"], ["evaluation: test", "3.0 s", "1.25"],
            ["evaluation: training images, not augmented", "7.0 s", "2.92"], ["together", "0:04:00", "100.00"],
        ])  # fmt: skip

    def test_a_run_of_today_that_was_stopped(self):
        for name in ("result.json", "evaluation.json"):
            (self.run_folder / name).unlink()
        self.write("log.jsonl", "".join(json.dumps(record) + "\n" for record in LOG[:2]) + '{"type":"train","itera')
        self.write("curves.svg", SVG)
        self.write("config.toml", 'dataset = "fashion-mnist"\n')
        page = self.page()
        self.assertIn("Data: fashion-mnist.", page.text)
        self.assertIn("The run has not ended: its log ends at iteration 10 of 20.", page.text)
        self.assertIn("There is no evaluation.json. A run writes it with its last validation", page.text)
        self.assertIn("The settings deviate from the recipe photos:", page.text)
        self.assertNotIn("images a second", page.text)
        self.assertEqual(page.tables["Time"][0][1:], [["training steps", "0:01:15", "62.50"], ["waiting for training images", "25.0 s", "20.83"], ["evaluation: validation", "20.0 s", "16.67"], ["together", "0:02:00", "100.00"]])

    def test_a_run_of_an_older_version(self):
        for name in ("run.json", "result.json", "evaluation.json"):
            (self.run_folder / name).unlink()
        self.write("log.jsonl", "".join(json.dumps({key: value for key, value in record.items() if key != "seconds"}) + "\n" for record in LOG if isinstance(record, dict)))
        self.write("config.toml", 'model = "resnet20"\nbatch-size = 50\n')
        self.write("curves.svg", SVG)
        page = self.page()
        self.assertIn("The run has not ended: its log ends at iteration 20.", page.text)
        self.assertEqual(page.text.count("There is neither a result.json nor a run.json"), 2, "of what was trained, and of the machine")
        self.assertIn("The log does not have the times of all parts", page.text)
        self.assertEqual(page.tables["Settings"][0][1:], [["model", '"resnet20"'], ["batch-size", "50"]])
        self.assertEqual(page.tables["Errors"][0][1][4], "41.94")
        (self.run_folder / "config.toml").unlink()
        self.assertIn("There is no config.toml", self.page().text)
        self.write("result.json", {key: value for key, value in RESULT.items() if key not in ("recipe", "deviations")})
        page = self.page()
        self.assertIn("The run did not keep its recipe", page.text)
        self.assertIn("Data: unknown.", page.text)

    def test_numbers_that_are_not_finite(self):
        (self.run_folder / "evaluation.json").unlink()
        self.write("result.json", {**RESULT, "diverged": True, "images_per_second": None})
        lost = [{**LOG[0], "loss": "NaN", "top1_error": "Infinity"}, {**LOG[1], "loss": "NaN", "top1_error": "NaN"}]
        self.write("log.jsonl", "".join(json.dumps(record) + "\n" for record in lost))
        self.write("curves.svg", SVG)
        page = self.page()
        self.assertIn("The run diverged at iteration 10 of 20: its loss is not finite.", page.text)
        self.assertEqual(page.tables["Errors"][0][1], ["validation", "10", "62", "not finite", "not finite", "9.00"])
        self.assertNotIn("Lowest", page.text)

    def test_an_evaluation_of_other_weights(self):
        """As --evaluate --evaluation-json writes it: it has no pictures."""
        worst = [{key: value for key, value in image.items() if key != "view"} for image in EVALUATION["worst"]]
        self.write("evaluation.json", {**EVALUATION, "iteration": 10, "worst": worst})
        page = self.page()
        self.assertIn("These are the weights of iteration 10; the last validation was at iteration 20.", page.text)
        self.assertIn("There are no pictures of these images.", page.text)
        self.assertEqual(page.tables["Worst images"][0][1], ["<seven>.jpg", NASTY, "0.1 %", "cat", "98.8 %"])
        self.write("evaluation.json", {**EVALUATION, "worst": [], "confusions": []})
        self.assertEqual(self.page().text.count("No image was taken for one of another class."), 2)

    def test_damaged_files_are_named(self):
        self.write("evaluation.json", '{"format": 1, "ima')
        self.assertIn("evaluation.json is damaged:", self.page().text)
        self.write("evaluation.json", {"format": 1})
        self.assertIn("A file of the run is incomplete: KeyError 'images'.", self.page().text)
        self.write("evaluation.json", [1])
        self.assertIn("evaluation.json is damaged: it holds no JSON object.", self.page().text)
        self.write("result.json", "no JSON")
        done = self.call()
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"report: result.json is damaged", done.stderr)

    def test_what_is_no_run_is_refused(self):
        for folder in (self.folder / "none", self.folder):
            done = self.call(folder)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"is not the folder of a run: it has no log.jsonl", done.stderr)
            self.assertFalse((folder / "report.html").exists())

    def test_without_matplotlib_the_page_has_no_curves(self):
        (self.run_folder / "curves.svg").unlink()
        (self.folder / "matplotlib.py").write_text("raise ImportError('it is not here')\n")
        page = self.page(PYTHONPATH=str(self.folder))
        self.assertIn("The curves were not drawn: plot-curves:", page.text)
        self.assertIn("it is not here", page.text)
        self.assertEqual(len(page.images), 2)

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "needs matplotlib; tools/setup installs it")
    def test_curves_are_drawn_if_the_log_is_newer(self):
        svg = self.run_folder / "curves.svg"
        found = self.page().images[0]["src"]
        self.assertEqual(base64.b64decode(found.partition(",")[2]).decode(), SVG)
        before = (self.run_folder / "log.jsonl").stat().st_mtime - 10
        os.utime(svg, (before, before))
        found = self.page().images[0]["src"]
        self.assertTrue(found.startswith("data:image/svg+xml;base64,"))
        self.assertIn("mine: best validation error 30.00 %", base64.b64decode(found.partition(",")[2]).decode())

    def test_a_folder_whose_name_is_not_utf8(self):
        odd = os.fsencode(self.folder) + b"/na\xefve"
        os.rename(self.run_folder, odd)
        done = self.call(odd)
        self.assertEqual((done.returncode, done.stdout), (0, odd + b"/report.html\n"), done.stderr)
        with open(odd + b"/report.html", encoding="utf-8") as file:
            self.assertIn("Training run na\ufffdve", file.read())

    def test_it_needs_no_one_who_listens(self):
        for redirect in (">&-", "> /dev/full"):
            (self.run_folder / "report.html").unlink(missing_ok=True)
            done = subprocess.run(f"'{SCRIPT}' '{self.run_folder}' {redirect}", shell=True, capture_output=True)
            self.assertEqual((done.returncode, done.stderr), (0, b""), redirect)
            self.assertTrue((self.run_folder / "report.html").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
