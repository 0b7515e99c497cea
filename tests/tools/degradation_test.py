#!/usr/bin/python3
"""tools/degradation on a stand-in for train-imagenet: statistics, verdicts, budget, what it refuses, and grids that are killed and go on.

usage: degradation_test.py [--programs DIR [--full] [--kills N]] [unittest's arguments]

With --programs also on the real train-imagenet there: a short form of the smoke preset, killed 3 times at random moments, has the tables and
figures of an undisturbed one, byte for byte. --full takes the whole preset, and 10 kills."""

import argparse
import contextlib
import hashlib
import importlib.machinery
import importlib.util
import io
import json
import math
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "degradation"
STAND_IN = pathlib.Path(__file__).with_name("degradation_stand_in.py")
OPTIONS = argparse.Namespace(programs=None, full=False, kills=None)


def load_script(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_") + "_script", str(ROOT / "tools" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


script = load_script("degradation")
plot_layers = load_script("plot-layers")
from degradation_experiment import budget, figures, intervals, planning, presets, progress, results, trainer, twins, verdicts  # noqa: E402  the script has shown where it is
from degradation_experiment.arms import Arm, Net, grid_of, nets_of, plain_net, residual_net  # noqa: E402
from degradation_experiment.refusal import Refusal  # noqa: E402


class Intervals(unittest.TestCase):
    def test_quantiles_are_those_of_published_tables(self):
        for probability, freedom, wanted in ((0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 10, 2.228), (0.975, 30, 2.042),
                                             (0.975, 120, 1.980), (0.95, 5, 2.015), (0.995, 7, 3.499), (0.9, 15, 1.341), (0.9995, 2, 31.599)):  # fmt: skip
            self.assertAlmostEqual(intervals.t_quantile(probability, freedom), wanted, delta=6e-4)

    def test_two_degrees_of_freedom_have_a_formula(self):
        for t in (-3.0, -0.2, 0.0, 0.7, 5.0):
            self.assertAlmostEqual(intervals.t_cdf(t, 2), 0.5 + t / (2 * math.sqrt(2 + t * t)), delta=1e-12)

    def test_a_broken_number_of_degrees_integrates_the_density(self):
        freedom, t, steps = 2.5, 1.7, 20000
        factor = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
        area = math.fsum(factor * (1 + ((i + 0.5) * t / steps) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps)) * t / steps
        self.assertAlmostEqual(intervals.t_cdf(t, freedom), 0.5 + area, delta=1e-8)

    def test_welch(self):
        # By SciPy 1.10: ttest_ind(equal_var=False), and t.ppf at its 4.974 degrees of freedom.
        found = intervals.welch([8.9, 9.3, 9.1], [7.1, 7.0, 7.6, 7.2])
        self.assertAlmostEqual(found.difference, 1.875, delta=1e-12)
        self.assertAlmostEqual(found.low, 1.4244417978203074, delta=1e-9)
        self.assertAlmostEqual(found.high, 2.325558202179696, delta=1e-9)
        self.assertIsNone(intervals.welch([1.0, 2.0], [1.0, 2.0, 3.0]))
        same = intervals.welch([2.0] * 3, [1.0] * 3)
        self.assertEqual((same.low, same.high), (1.0, 1.0))

    def test_deviation_is_the_samples(self):
        self.assertAlmostEqual(intervals.deviation([1.0, 2.0, 4.0]), math.sqrt(7 / 3))
        self.assertIsNone(intervals.deviation([1.0]))


class Rule(unittest.TestCase):
    def decide(self, low, high, margin=0.0, close=False):
        claim = verdicts.Claim("", verdicts.TEST, None, None, margin, close)
        return verdicts.decide(claim, intervals.Interval((low + high) / 2, low, high))

    def test_one_sided(self):
        self.assertEqual(self.decide(0.1, 2), "supported")
        self.assertEqual(self.decide(-2, -0.1), "contradicted")
        self.assertEqual(self.decide(-0.1, 2), "not decided")
        self.assertEqual(self.decide(0.0, 2), "not decided", "it must lie above")
        self.assertEqual(self.decide(-0.4, 2, -0.5), "supported")
        self.assertEqual(self.decide(-0.6, 2, -0.5), "not decided")
        self.assertEqual(self.decide(-0.6, -0.55, -0.5), "contradicted")

    def test_close(self):
        self.assertEqual(self.decide(-0.9, 0.9, 1.0, True), "supported")
        self.assertEqual(self.decide(-1.1, 0.9, 1.0, True), "not decided")
        self.assertEqual(self.decide(-0.9, 1.1, 1.0, True), "not decided")
        self.assertEqual(self.decide(1.1, 2, 1.0, True), "contradicted")
        self.assertEqual(self.decide(-2, -1.1, 1.0, True), "contradicted")

    def result(self, error, diverged=False):
        error = None if diverged else results.Error(error, 0.0, 0.0)
        return results.Result(None, {"diverged": diverged}, error, error, error)

    def judge(self, a, b, diverged=False):
        one, other = plain_net(56), residual_net(56)
        found = {one: [self.result(error) for error in a] + [self.result(0, True)] * diverged, other: [self.result(error) for error in b]}
        return verdicts.judge(verdicts.Claim("", verdicts.TRAINING, one, other), found.__getitem__)

    def test_seeds_and_divergence(self):
        self.assertEqual(self.judge([9.0, 9.1, 9.2], [7.0, 7.1, 7.2]).outcome, "supported")
        self.assertEqual(self.judge([7.0, 7.1, 7.2], [9.0, 9.1, 9.2]).outcome, "contradicted")
        self.assertEqual(self.judge([60.0, 61.0, 60.5], [7.0, 7.1, 7.2]).outcome, "supported", "60 % is evidence, not failure")
        few = self.judge([9.0, 9.1], [7.0, 7.1, 7.2])
        self.assertEqual((few.outcome, few.reason), ("not decided", "fewer than 3 seeds"))
        diverged = self.judge([9.0, 9.1, 9.2], [7.0, 7.1, 7.2], diverged=True)
        self.assertEqual((diverged.outcome, diverged.reason), ("not decided", "plain-56 diverged"))
        self.assertEqual(self.judge([], []).outcome, "not decided")

    def test_the_claims_of_the_paper(self):
        cifar = verdicts.claims_of((20, 32, 56), 20, "cifar10")
        wanted = [("plain-32 trains worse than plain-20", 0), ("plain-56 trains worse than plain-20", 0), ("ResNet-32 trains no worse than ResNet-20", -0.5),
                  ("ResNet-56 trains no worse than ResNet-20", -0.5)]  # fmt: skip
        wanted += [(f"ResNet-{depth} beats plain-{depth} in {measure} error", 0) for depth in (20, 32, 56) for measure in ("training", "test")]
        wanted += [("plain-20 and ResNet-20 are close in test error", 1.0), ("ResNet-20 falls faster than plain-20", 0)]
        self.assertEqual([(claim.text, claim.margin) for claim in cifar], wanted)
        no_worse = cifar[3]
        self.assertEqual((no_worse.a.label, no_worse.b.label), ("ResNet-20", "ResNet-56"), "err(shallow) - err(deep) > -0.5")
        photos = [claim.text for claim in verdicts.claims_of((18, 34), 34, "imagenet")]
        self.assertEqual(photos[-2:], ["shortcut B beats A in ResNet-34", "shortcut C beats B in ResNet-34"])
        self.assertFalse([claim for claim in verdicts.claims_of((18, 34), 18, "") if claim.text.startswith("shortcut")])

    def test_falling_is_measured_up_to_the_first_drop(self):
        rates = [(10, 0.01), (20, 0.1), (30, 0.1), (40, 0.01), (50, 0.001)]
        content = {"diverged": False, "curves": {"running_train": [{"iteration": i, "top1_error": 0, "learning_rate": rate} for i, rate in rates],
                   "clean_train": [{"iteration": i, "top1_error": float(i)} for i in (10, 20, 30, 40, 50)]}}  # fmt: skip
        self.assertEqual(results.Result(None, content, None, None, None).clean_before_first_drop(), 20.0)


class Grid(unittest.TestCase):
    def test_nets_and_order(self):
        self.assertEqual([net.key for net in nets_of((20, 56), 20)], ["plain20", "plain56", "resnet20", "resnet56", "resnet20-B", "resnet20-C"])
        self.assertEqual([arm.name for arm in grid_of(nets_of((20, 56), 0), 2)][:5], ["plain56-seed0", "resnet56-seed0", "plain20-seed0", "resnet20-seed0", "plain56-seed1"])
        self.assertEqual(residual_net(20, "C").words(), ["--model", "resnet20", "--shortcut", "C"])
        self.assertEqual(plain_net(20).words(), ["--model", "plain20"])

    def test_both_twins_of_110_layers_warm_up(self):
        preset = presets.PRESETS["cifar10"]
        self.assertEqual(preset.depths, (20, 32, 44, 56, 110))
        maker = trainer.Trainer(sys.executable, preset, None)
        for net in (plain_net(110), residual_net(110)):
            self.assertIn("until-error", maker.settings(Arm(net, 0), "bf16"))
        self.assertNotIn("until-error", maker.settings(Arm(plain_net(56), 0), "bf16"))

    def test_records_begin_where_checkpoints_are(self):
        self.assertEqual(trainer.divisor_near(391, 50), 23)
        self.assertEqual(trainer.divisor_near(20, 50), 20)
        self.assertEqual(trainer.divisor_near(53, 50), 1)


class Twins(unittest.TestCase):
    def facts(self, **changes):
        settings = {"model": "plain20", "seed": 0, "lr": 0.1, "warmup": "linear"}
        return {"configuration": settings | changes, "train_set": "a", "validation_set": "b", "iterations": 10, "iterations_per_epoch": 5}

    def check(self, others, warmups=()):
        arms = [Arm(Net(depth, shortcut), seed) for depth, shortcut, seed, _ in others]
        twins.check(arms, {arm.name: facts for arm, (_, _, _, facts) in zip(arms, others)}, warmups)

    def test_only_the_network_may_differ(self):
        plain = (20, "none", 0, self.facts())
        self.check([plain, (56, "none", 1, self.facts(model="plain56", seed=1)), (20, "A", 0, self.facts(model="resnet20", shortcut="A"))])
        with self.assertRaisesRegex(Refusal, "lr is 0.1 in plain20-seed0 and 0.2 in resnet20-seed0"):
            self.check([plain, (20, "A", 0, self.facts(model="resnet20", lr=0.2))])
        with self.assertRaisesRegex(Refusal, "nesterov is not set in plain20-seed0 and True in plain56-seed0"):
            self.check([plain, (56, "none", 0, self.facts(model="plain56", nesterov=True))])
        with self.assertRaisesRegex(Refusal, "train_set is a in plain20-seed0 and c in resnet20-seed0"):
            self.check([plain, (20, "A", 0, self.facts(model="resnet20") | {"train_set": "c"})])

    def test_a_warm_up_is_both_twins_own(self):
        warm = {"model": "plain110", "warmup": "until-error"}
        plain = (20, "none", 0, self.facts())
        self.check([plain, (110, "none", 0, self.facts(**warm)), (110, "A", 0, self.facts(**warm))], (110,))
        with self.assertRaisesRegex(Refusal, "warmup is until-error in plain110-seed0 and linear in resnet110-seed0"):
            self.check([plain, (110, "none", 0, self.facts(**warm)), (110, "A", 0, self.facts(model="resnet110"))], (110,))
        with self.assertRaisesRegex(Refusal, "warmup is linear"):
            self.check([plain, (56, "none", 0, self.facts(model="plain56", warmup="until-error"))], (110,))
        with self.assertRaisesRegex(Refusal, "lr is 0.1 in plain20-seed0 and 0.2"):
            self.check([plain, (110, "none", 0, self.facts(**warm, lr=0.2))], (110,))


class Budget(unittest.TestCase):
    PRESET = presets.PRESETS["cifar10"]
    SIZE = planning.Size((20, 32, 44, 56, 110), 20, 3, 64000, 391, 10000)
    # As many seconds an image as layers: the hours below can be checked by hand.
    SPEEDS = {net.key: 20000 / net.depth for net in nets_of(SIZE.depths, 20)}

    def fit(self, hours, **changes):
        return budget.fit(self.SIZE.with_(**changes), hours, self.SPEEDS, self.PRESET, 2)

    def hours(self, size):
        return budget.grid_seconds(size, self.SPEEDS, self.PRESET, 2) / 3600

    def test_one_arm(self):
        size = planning.Size((20, 56), 0, 3, 782, 391, 10000)
        evaluated = 2 * 15000 / 3
        self.assertAlmostEqual(budget.seconds_of(plain_net(20), size, self.SPEEDS, self.PRESET), (782 * 128 + evaluated) * 20 / 20000)

    def test_slots(self):
        self.assertEqual(budget.makespan([5, 4, 3, 3], 2), 8)
        self.assertEqual(budget.makespan([], 2), 0)

    def test_all_fits(self):
        self.assertEqual(self.fit(self.hours(self.SIZE) * 1.01), (self.SIZE, []))

    def test_depths_go_first_then_shortcuts_then_iterations(self):
        size, cut = self.fit(self.hours(self.SIZE) * 0.99)
        self.assertEqual((size.depths, size.shortcut_depth, size.iterations, cut), ((20, 32, 44, 56), 20, 64000, ["depth 110 left out"]))
        two = self.SIZE.with_(depths=(20, 56))
        size, cut = self.fit(self.hours(two.with_(shortcut_depth=0)) * 1.001)
        self.assertEqual((size.depths, size.shortcut_depth, size.iterations, size.seeds), ((20, 56), 0, 64000, 3))
        self.assertEqual(cut, ["depth 110 left out", "depth 44 left out", "depth 32 left out", "shortcuts B and C left out"])
        size, cut = self.fit(self.hours(two.with_(shortcut_depth=0)) / 4)
        self.assertAlmostEqual(size.iterations, 16000, delta=10)
        self.assertLessEqual(self.hours(size), self.hours(two.with_(shortcut_depth=0)) / 4)
        self.assertIn(f"{size.iterations} iterations instead of 64000", cut)

    def test_never_below_16_epochs_and_3_seeds(self):
        least = self.hours(planning.Size((20, 56), 0, 3, 16 * 391, 391, 10000))
        size, _ = self.fit(least * 1.001, seeds=5)
        self.assertEqual((size.iterations, size.seeds), (16 * 391, 3))
        with self.assertRaisesRegex(Refusal, r"the smallest grid takes [0-9.]+ hours on this machine, but --budget is .*: 6256 iterations, 3 seeds, depths 20, 56; give more hours, fewer depths or fewer seeds$"):
            self.fit(least * 0.99)

    def test_a_single_seed_that_was_asked_for_stays(self):
        size, _ = self.fit(self.hours(self.SIZE.with_(seeds=1)) * 0.5, seeds=1)
        self.assertEqual(size.seeds, 1)


class Experiment(unittest.TestCase):
    """With the stand-in as the program."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        program = self.programs / "train-imagenet"
        program.write_text(f"#!{sys.executable} -IS\n" + STAND_IN.read_text(encoding="utf-8"), encoding="utf-8")
        program.chmod(0o755)
        self.output = self.folder / "output"
        self.trace = self.folder / "trace"
        self.environment = {**os.environ, "TRACE": str(self.trace)}
        self.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        for name in ("FAULT", "WORK", "RESIDUA_DATA", "CUDA_VISIBLE_DEVICES"):
            self.environment.pop(name, None)

    def words(self, *words, output=None, preset="smoke"):
        chosen = ["--preset", preset] if preset else []
        return [*chosen, "--programs", str(self.programs), "--output", str(output or self.output), *words]

    def call(self, *words, fault="", draw=lambda *_: [], **options):
        """Runs the script here; returns its exit code and all that it printed. Figures take seconds: they are left out."""
        printed = io.StringIO()
        with mock.patch.dict(os.environ, {**self.environment, "FAULT": fault}, clear=True), mock.patch.object(figures, "draw", draw), mock.patch.object(
            script, "MEASURE_SECONDS", 0.0
        ), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                code = script.main(self.words(*words, **options))
            except SystemExit as end:
                code = end.code
        return code, printed.getvalue()

    def ran(self):
        """What was trained since this was last asked: 'ARM from ITERATION'."""
        lines = self.trace.read_text(encoding="utf-8").splitlines() if self.trace.exists() else []
        self.trace.unlink(missing_ok=True)
        return sorted(lines)

    def report(self):
        return (self.output / "report.md").read_text(encoding="utf-8")

    def result_path(self, arm):
        return self.output / "arms" / arm / "result.json"

    def change(self, path, edit):
        content = json.loads(path.read_text(encoding="utf-8"))
        edit(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    SMALL = ("--iterations", "20", "--no-shortcuts")


class Calls(Experiment):
    def test_a_grid_runs_once(self):
        code, printed = self.call()
        self.assertEqual(code, 0, printed)
        arms = ["plain20", "plain32", "resnet20-B", "resnet20-C", "resnet20", "resnet32"]
        self.assertEqual(self.ran(), [f"{arm}-seed0 from 0" for arm in arms])
        for arm in arms:
            for name in ("result.json", "layers-initial.json", "layers-final.json", "arm.json"):
                self.assertTrue((self.output / "arms" / f"{arm}-seed0" / name).exists(), f"{arm} {name}")
        report = self.report()
        self.assertEqual(report.count("not decided: fewer than 3 seeds"), 8, "all verdicts of one seed")
        self.assertIn("Shortcuts A, B and C at 20 layers", report)
        self.assertEqual(len((self.output / "results.csv").read_text().splitlines()), 7)
        before = {name: (self.output / name).read_bytes() for name in ("report.md", "report.html", "results.csv", "times.csv", "plan.json")}
        code, printed = self.call()
        self.assertEqual((code, self.ran()), (0, []), printed)
        self.assertEqual(before, {name: (self.output / name).read_bytes() for name in before})

    def test_small_files_are_enough(self):
        self.call(*self.SMALL)
        self.ran()
        for path in self.output.glob("arms/*/*"):
            if not re.fullmatch(r"result\.json|layers-.*\.json", path.name):
                path.unlink()
        (self.programs / "train-imagenet").unlink()
        (self.output / "report.md").unlink()
        self.assertEqual(self.call(preset=None)[0], 0, "neither program nor data are needed")
        self.assertIn("ResNet-32", self.report())

    @unittest.skipUnless(importlib.util.find_spec("matplotlib"), "needs matplotlib; tools/setup installs it")
    def test_a_report_of_a_part_of_the_grid_has_figures(self):
        self.call(*self.SMALL)
        for arm in ("plain20-seed0", "resnet32-seed0"):
            shutil.rmtree(self.output / "arms" / arm)
        code, printed = self.call("--report", *self.SMALL, draw=figures.draw)
        self.assertEqual(code, 0, printed)
        self.assertEqual(self.ran(), [f"{arm}-seed0 from 0" for arm in ("plain20", "plain32", "resnet20", "resnet32")], "trained by the first call alone")
        self.assertIn("2 of 4 arms are finished", self.report())
        for name in ("figure6", "figure7", "gradient-norms"):
            self.assertTrue((self.output / "figures" / f"{name}.svg").exists(), printed)

    def test_more_seeds_keep_those_that_are_done(self):
        self.call(*self.SMALL)
        self.ran()
        code, printed = self.call("--seeds", "3", *self.SMALL)
        self.assertEqual(code, 2)
        self.assertIn("was made with no --seeds, but this call has --seeds 3", printed)
        self.assertEqual(self.call("--seeds", "3", "--replan", *self.SMALL)[0], 0)
        self.assertEqual(self.ran(), [f"{arm}-seed{seed} from 0" for arm in ("plain20", "plain32", "resnet20", "resnet32") for seed in (1, 2)])
        report = self.report()
        self.assertRegex(report, r"plain-32 trains worse than plain-20 \| plain-32 - plain-20, training error \| > 0 \| \+[56]\.\d+ \| \+[56]\.\d+ to \+[56]\.\d+ \| supported \|")
        self.assertRegex(report, r"ResNet-32 trains no worse than ResNet-20 \|.*\| supported \|")
        self.assertRegex(report, r"plain-20 \| 260,000 \| 3 \| 1[23]\.\d\d ± 0\.\d\d \| - \| - \|")
        self.assertIn("95 % Welch interval", report)

    def test_the_papers_numbers(self):
        (self.folder / "data").mkdir()
        code, printed = self.call("--data", str(self.folder / "data"), "--depths", "20,56", "--epochs", "2", "--seeds", "1", "--no-shortcuts", preset="cifar10")
        self.assertEqual(code, 0, printed)
        plan = json.loads((self.output / "plan.json").read_text())
        self.assertEqual(plan["size"]["iterations"], 20)
        test = json.loads(self.result_path("resnet56-seed0").read_text())["final"]["validation"]["top1_error"]
        self.assertRegex(self.report(), rf"ResNet-56 \| 728,000 \| 1 \| {test:.2f} \| 6\.97 \| {re.escape(f'{test - 6.97:+.2f}')} \|")
        self.assertRegex(self.report(), r"plain-56 \| 728,000 \| 1 \| [0-9.]+ \| Fig. 6 only \| - \|")
        self.assertIn("shorter than the full one of 64000 iterations", self.report())

    def test_data_must_be_there(self):
        code, printed = self.call(preset="cifar10")
        self.assertEqual(code, 2)
        self.assertIn("the preset cifar10 needs a data set: --data DIR", printed)
        code, printed = self.call("--data", str(self.folder / "nowhere"), preset="cifar10")
        self.assertEqual(code, 2)
        self.assertIn("nowhere is not there", printed)

    def test_twins_that_differ_are_refused(self):
        code, printed = self.call(fault="lr resnet20")
        self.assertEqual(code, 2)
        self.assertIn("the arms are not comparable: lr is 0.1 in", printed)
        self.assertEqual(self.ran(), [])

    def test_another_configuration_is_never_overwritten(self):
        self.call(*self.SMALL)
        self.ran()
        before = self.result_path("plain20-seed0").read_bytes()
        code, printed = self.call("--iterations", "30", "--no-shortcuts", "--replan")
        self.assertEqual(code, 2)
        self.assertIn("plain20-seed0/result.json is of another configuration: iterations is 20 there, but 30 in the plan", printed)
        self.assertIn("resnet32-seed0/result.json is of another configuration", printed)
        self.assertEqual((self.result_path("plain20-seed0").read_bytes(), self.ran()), (before, []))
        self.assertEqual(self.call(*self.SMALL)[0], 0, "the old plan is still there")
        self.change(self.result_path("plain20-seed0"), lambda content: content.update(digest="0", train_set="xyz"))
        code, printed = self.call(*self.SMALL)
        self.assertEqual(code, 2)
        self.assertIn("train_set is xyz there, but abc in the plan", printed)

    def test_an_unfinished_arm_of_another_configuration_is_refused(self):
        self.call(*self.SMALL)
        for path in (self.result_path("plain20-seed0"), self.output / "plan.json"):
            path.unlink()
        shutil.rmtree(self.output / "arms" / "plain32-seed0")
        for arm in ("resnet20-seed0", "resnet32-seed0"):
            self.result_path(arm).unlink()
            (self.result_path(arm).parent / "arm.json").unlink()
        code, printed = self.call("--iterations", "30", "--no-shortcuts")
        self.assertEqual(code, 2)
        self.assertIn("plain20-seed0/arm.json is of another configuration: iterations is 20 there, but 30 in the plan", printed)
        self.assertIn("resnet20-seed0 has weights of a run that this script did not start", printed)

    def test_a_program_or_data_that_changed_are_told(self):
        self.call(*self.SMALL)
        self.result_path("plain20-seed0").unlink()
        for fault, text in (("lr", "lr was 0.1 and is 0.2"), ("data", "train_set was abc and is otherimages")):
            code, printed = self.call(*self.SMALL, fault=fault)
            self.assertEqual(code, 2)
            self.assertIn(f"plain20-seed0 would differ from the planned arm: {text}", printed)

    def test_damaged_files_are_told(self):
        self.call(*self.SMALL)
        good = self.result_path("plain20-seed0").read_text()
        for text, told in (("{", "cannot read"), ("[]", "does not have format 1"), (json.dumps({**json.loads(good), "final": {}}), "is incomplete: KeyError 'validation'")):
            self.result_path("plain20-seed0").write_text(text)
            code, printed = self.call(*self.SMALL)
            self.assertEqual(code, 2)
            self.assertIn(told, printed)
        for value in ("NaN", None):
            self.result_path("plain20-seed0").write_text(good)
            self.change(self.result_path("plain20-seed0"), lambda content: content["final"]["clean_train"].update(top1_error=value))
            code, printed = self.call(*self.SMALL)
            self.assertEqual(code, 2)
            self.assertIn("an error of the last iteration is not finite", printed)

    def test_a_system_without_flock_is_told(self):
        with mock.patch.object(shutil, "which", return_value=None):
            code, printed = self.call(*self.SMALL)
        self.assertEqual((code, self.ran()), (2, []))
        self.assertIn("install util-linux", printed)

    def test_divergence_is_a_result(self):
        code, printed = self.call("--seeds", "3", *self.SMALL, fault="diverge --model plain32 --seed 1")
        self.assertEqual(code, 0, printed)
        self.assertIn("plain32-seed1 diverged: its loss became NaN or infinite", printed)
        report = self.report()
        self.assertRegex(report, r"plain-32 trains worse than plain-20 \|.*\| not decided: plain-32 diverged \|")
        self.assertRegex(report, r"ResNet-32 trains no worse than ResNet-20 \|.*\| supported \|")
        self.assertIn("plain32-seed1 diverged: its loss became NaN or infinite.", report)
        self.assertRegex(report, r"plain-32 \| 416,000 \| 2, 1 diverged \|")
        self.ran()
        self.assertEqual((self.call("--seeds", "3", *self.SMALL)[0], self.ran()), (0, []))

    def test_a_failure_does_not_stop_the_others(self):
        code, printed = self.call(*self.SMALL, fault="crash plain32")
        self.assertEqual(code, 1)
        self.assertIn("plain32-seed0 failed: it exited 1 without result.json: train-imagenet: the disk is full", printed)
        self.assertEqual(len(self.ran()), 4)
        self.assertIn("3 of 4 arms are finished", self.report())
        self.assertEqual(self.call(*self.SMALL)[0], 0)
        self.assertEqual(self.ran(), ["plain32-seed0 from 0"])

    def test_mixtures_of_processors_are_flagged(self):
        self.call(*self.SMALL)
        self.assertNotIn("different processors", self.report())
        self.result_path("plain20-seed0").unlink()
        self.call(*self.SMALL, fault="processor")
        self.assertIn("The arms of seed 0 ran on different processors: a processor; another processor. Rerun that seed on one kind of processor.", self.report())

    def test_an_arm_that_was_moved_between_processors_is_flagged(self):
        code, printed = self.call(*self.SMALL, fault="moved")
        self.assertEqual(code, 1, printed)
        self.ran()
        self.assertEqual(self.call(*self.SMALL)[0], 0)
        self.assertEqual(self.ran(), [f"{arm}-seed0 from 15" for arm in ("plain20", "plain32", "resnet20", "resnet32")])
        for path in self.output.glob("arms/*/result.json"):
            self.assertEqual(json.loads(path.read_text())["processor"], "a processor", "the last one")
        self.assertIn("The arms of seed 0 ran on different processors: a processor; another processor.", self.report())
        shutil.rmtree(self.output / "arms")
        self.assertEqual(self.call(*self.SMALL)[0], 0)
        self.assertNotIn("different processors", self.report(), "it was trained again")

    def test_precisions_are_told_in_the_words_of_the_flag(self):
        for word, wanted in (((), "bf16"), (("--precision", "fp32"), "fp32"), (("--precision", "fp16"), "fp16")):
            output = self.folder / wanted
            code, printed = self.call(*self.SMALL, *word, output=output)
            self.assertEqual(code, 0, printed)
            plan = json.loads((output / "plan.json").read_text())
            self.assertEqual((plan["precision"], plan["configuration"]["precision"]), (wanted, wanted))
            self.assertIn(f",20,{wanted},no,", (output / "results.csv").read_text())
        code, printed = self.call(*self.SMALL, "--precision", "f32")
        self.assertEqual(code, 2)
        self.assertIn("invalid choice: 'f32'", printed)
        code, printed = self.call(*self.SMALL, fault="precision")
        self.assertEqual(code, 2)
        self.assertIn("--dry-run printed the precision f32, wanted one of fp32, bf16, fp16", printed)

    def test_times_are_apart(self):
        self.call(*self.SMALL)
        seconds = json.loads(self.result_path("plain20-seed0").read_text())["seconds"]
        self.assertIn(f"plain-20,0,{seconds}", (self.output / "times.csv").read_text())
        self.change(self.result_path("plain20-seed0"), lambda content: content.update(seconds=1e9))
        before = {name: (self.output / name).read_bytes() for name in ("report.md", "report.html", "results.csv")}
        self.call(*self.SMALL, "--report")
        self.assertEqual(before, {name: (self.output / name).read_bytes() for name in before})

    def test_a_report_of_what_there_is(self):
        self.call(*self.SMALL, fault="crash plain32")
        self.ran()
        code, printed = self.call("--report", preset=None)
        self.assertEqual((code, self.ran()), (0, []), printed)
        self.assertIn("3 of 4 arms are finished", self.report())

    def test_missing_matplotlib_costs_the_figures_alone(self):
        def none(*_):
            raise figures.NoMatplotlib("No module named 'matplotlib': run tools/setup")

        code, printed = self.call(*self.SMALL, draw=none)
        self.assertEqual(code, 0)
        self.assertIn("cannot draw the figures: No module named 'matplotlib': run tools/setup", printed)
        self.assertNotIn("figures/", self.report())

    def test_the_plan_is_printed_and_not_kept(self):
        code, printed = self.call("--plan")
        self.assertEqual(code, 0, printed)
        self.assertFalse(self.output.exists())
        self.assertIn("6 arms of 80 iterations (8.0 epochs), 1 seed, bf16", printed)
        # The stand-in's speed is 1000 / depth: (80 x 128 + 8 x (1024 + 512) / 3) images at 50 a second.
        self.assertRegex(printed, r"plain-20 +260,000 parameters +50 img/s +0\.08 h per arm")
        self.assertRegex(printed, r"total: 0\.\d\d hours")

    def test_a_budget_is_kept(self):
        words = ("--iterations", "2000", "--depths", "20,32", "--seeds", "3")
        speeds = {net.key: 1000.0 for net in nets_of((20, 32), 20)}
        with mock.patch.object(planning, "measure", lambda *_: speeds), mock.patch.object(script.Runner, "run", lambda *_: 0):
            code, printed = self.call("--budget", "0.001", *words)
            self.assertEqual(code, 2)
            self.assertIn("the smallest grid takes", printed)
            code, printed = self.call("--budget", "0.2", "--jobs", "2", *words)
            self.assertEqual(code, 0, printed)
            plan = json.loads((self.output / "plan.json").read_text())
            self.assertEqual((plan["size"]["seeds"], plan["size"]["shortcut_depth"], plan["cut"][0]), (3, 0, "shortcuts B and C left out"))
            self.assertTrue(20 <= plan["size"]["iterations"] < 2000)
            self.call()
        self.assertEqual(json.loads((self.output / "plan.json").read_text()), plan, "resolved once")
        code, printed = self.call("--budget", "0.3", *words)
        self.assertEqual(code, 2)
        self.assertIn("was made with --budget 0.2, but this call has --budget 0.3", printed)

    def stopped_in(self, function, *words):
        """What is printed where Ctrl-C comes while `function` of planning works: what it says, and the words of the command."""
        with mock.patch.object(planning, function, side_effect=KeyboardInterrupt):
            code, printed = self.call(*words)
        self.assertEqual(code, 130, printed)
        told, command = re.search(r"^(degradation: stopped; .*)\n  (.*)$", printed, re.MULTILINE).groups()
        return told, shlex.split(command)[1:]

    def test_a_stopped_call_tells_what_is_kept(self):
        begin, go_on = "degradation: stopped; nothing to save yet. To start again:", "degradation: stopped; the work so far is saved. To resume:"
        replanned = ("--seeds", "2", "--replan", *self.SMALL)
        self.assertEqual(self.stopped_in("make", *self.SMALL), (begin, self.words(*self.SMALL)))
        self.call(*self.SMALL)
        for function in ("make", "save"):
            self.assertEqual(self.stopped_in(function, *replanned), (begin, self.words(*replanned)), "the old plan would refuse two seeds")
        self.assertEqual(self.stopped_in("measured", "--plan"), (begin, self.words("--plan")))
        self.assertEqual(self.stopped_in("lines", *replanned), (go_on, self.words("--seeds", "2", *self.SMALL)))
        self.ran()
        self.assertEqual(self.call("--seeds", "2", *self.SMALL)[0], 0)
        self.assertEqual(len(self.ran()), 4, "of the second seed")

    def test_wrong_calls(self):
        for words, told in ((("--depths", "20,x"), "invalid depths value"), (("--budget", "nan"), "invalid positive value"), (("--seeds", "0"), "invalid count value"),
                            (("--epochs", "2", "--iterations", "3"), "not allowed with")):  # fmt: skip
            code, printed = self.call(*words)
            self.assertEqual(code, 2)
            self.assertIn(told, printed)
        self.assertIn("has no plan to resume: give --preset NAME", self.call(preset=None)[1])
        self.assertIn("plan.json does not exist: nothing was started", self.call("--report", preset=None)[1])
        (self.output / "run.json").touch()
        code, printed = self.call()
        self.assertEqual(code, 2)
        self.assertIn("is the folder of a run of train-imagenet: use another --output", printed)
        (self.output / "run.json").unlink()
        for words, preset, told in ((("--replan",), None, "--replan needs --preset NAME (smoke, cifar10"), (("--replan", "--report"), "smoke", "leave out --replan"),
                                    (("--repl",), "smoke", "unrecognized arguments: --repl")):  # fmt: skip
            code, printed = self.call(*words, preset=preset)
            self.assertEqual(code, 2)
            self.assertIn(told, printed)
        code, printed = self.call(output=self.programs / "train-imagenet" / "output")
        self.assertEqual(code, 2)
        self.assertRegex(printed, r"^degradation: .*Not a directory: .*output'\n$")
        self.assertIn("lr is 7, wanted less", self.call(fault="refuse")[1])
        self.assertIn("--dry-run did not print a JSON object", self.call(fault="junk")[1])
        (self.programs / "train-imagenet").unlink()
        self.assertIn("train-imagenet does not exist: build it", self.call()[1])


class Processes(Experiment):
    """Whole processes, with figures."""

    def start(self, *words, output=None, fault="", preset="smoke"):
        return subprocess.Popen([sys.executable, str(SCRIPT), *self.words(*words, output=output, preset=preset)], env={**self.environment, "FAULT": fault},
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")  # fmt: skip

    def steps(self, output):
        """Lines in the logs of all arms."""
        return sum(path.read_bytes().count(b"\n") for path in output.glob("arms/*/log.jsonl"))

    def wait_for_steps(self, process, output, wanted):
        """Returns False where the process ends before."""
        while self.steps(output) < wanted:
            try:
                process.wait(0.005)
                return False
            except subprocess.TimeoutExpired:
                pass
        return True

    def children(self, process):
        return [int(pid) for pid in pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]

    def kill(self, process, trainers_too):
        children = self.children(process)
        process.send_signal(signal.SIGKILL)
        for child in children if trainers_too else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.wait()
        process.stdout.close()

    def finish(self, process, wanted=0):
        printed, _ = process.communicate()
        self.assertEqual(process.returncode, wanted, printed)
        return printed

    def product(self, output):
        """All bytes of the report, but the times."""
        files = [output / name for name in ("report.md", "report.html", "results.csv")] + sorted(output.glob("figures/*"))
        return {path.relative_to(output): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def compare_with_killed(self, words, kills, chance):
        undisturbed, killed = self.folder / "undisturbed", self.folder / "killed"
        began = time.monotonic()
        self.finish(self.start(*words, output=undisturbed))
        seconds = time.monotonic() - began
        wanted = self.product(undisturbed)
        self.assertEqual(len(wanted), 9, "three files, and three figures of two kinds")
        done = 0
        while done < kills:
            process = self.start(*words, output=killed)
            try:
                process.wait(chance.uniform(0, seconds / kills))
            except subprocess.TimeoutExpired:
                self.kill(process, trainers_too=chance.random() < 0.5)
                done += 1
                continue
            self.finish(process)  # it was faster than the undisturbed one
            self.assertEqual(self.product(killed), wanted)
            shutil.rmtree(killed)
        self.finish(self.start(*words, output=killed))
        self.assertEqual(self.product(killed), wanted)


class Kills(Processes):
    def test_a_grid_that_is_killed_ends_with_the_same_bytes(self):
        seed = random.randrange(1 << 30)
        with self.subTest(random_seed=seed):
            self.environment["WORK"] = "6"
            self.compare_with_killed(("--epochs", "4", "--seeds", "1"), 3, random.Random(seed))
            self.assertFalse([line for line in self.ran() if "TWO TRAINERS" in line])

    def test_a_second_call_is_refused_and_one_after_a_kill_waits_for_orphans(self):
        self.environment |= {"WORK": "100", "HOLD": str(self.folder / "hold")}
        first = self.start(*self.SMALL)
        self.assertTrue(self.wait_for_steps(first, self.output, 2))
        refused = self.finish(self.start(*self.SMALL), 2)
        self.assertIn("another call is using", refused)
        self.kill(first, trainers_too=False)
        self.environment["WORK"] = "1"
        second = self.start(*self.SMALL)
        self.assertIn("waiting for the trainers of an earlier call", second.stdout.readline())
        (self.folder / "hold").touch()
        self.finish(second)
        ran = self.ran()
        self.assertFalse([line for line in ran if "TWO TRAINERS" in line], ran)
        self.assertTrue([line for line in ran if not line.endswith("from 0")], "they saved before they ended")

    def test_ctrl_c_saves_and_tells_how_to_go_on(self):
        self.environment["WORK"] = "100"
        process = self.start(*self.SMALL)
        self.assertTrue(self.wait_for_steps(process, self.output, 3))
        running = [path.parent for path in self.output.glob("arms/*/log.jsonl")]
        process.send_signal(signal.SIGINT)
        printed = self.finish(process, 130)
        self.assertIn("stopped; the work so far is saved. To resume:", printed)
        self.assertIn(" ".join(["tools/degradation", *self.words(*self.SMALL)]), printed)
        self.assertNotIn("failed", printed)
        for folder in running:
            self.assertFalse((folder / "result.json").exists(), "it did not run on to its end")
            saved = json.loads((folder / "checkpoint.safetensors").read_text())["iteration"]
            self.assertEqual(saved, len((folder / "log.jsonl").read_text().splitlines()), "the last step is saved")
        self.ran()
        self.environment["WORK"] = "1"
        self.finish(self.start(*self.SMALL))
        self.assertTrue(all(line.endswith("from 0") == (self.output / "arms" / line.split()[0] not in running) for line in self.ran()))


class Figures(Experiment):
    def test_the_same_results_give_the_same_bytes_and_other_results_others(self):
        def drawn():
            self.assertEqual(self.call("--report", *self.SMALL, draw=figures.draw)[0], 0)
            return {path.name: path.read_bytes() for path in (self.output / "figures").iterdir()}

        self.call(*self.SMALL)
        first = drawn()
        self.assertEqual(first.keys(), {f"{name}.{kind}" for name in ("figure6", "figure7", "gradient-norms") for kind in ("png", "svg")})
        self.assertEqual(drawn(), first)
        page = (self.output / "report.html").read_text()
        self.assertEqual(page.count("data:image/svg+xml;base64,"), 3)
        self.assertNotIn("figures/", page, "it is one file")

        def worse(content):
            for point in content["curves"]["validation"]:
                point["top1_error"] += 5

        self.change(self.result_path("plain20-seed0"), worse)
        second = drawn()
        self.assertNotEqual(second["figure6.png"], first["figure6.png"])
        self.assertEqual(second["figure7.png"], first["figure7.png"])

    def test_layers_that_are_not_finite_are_gaps(self):
        self.call("--seeds", "2", *self.SMALL)
        plan = planning.load(self.output / "plan.json")
        folders = [results.ArmFolder(self.output, Arm(plain_net(20), seed), plan.facts[f"plain20-seed{seed}"]) for seed in (0, 1)]

        def spoil(content):
            content["layers"][1]["response_std"] = content["layers"][2]["gradient_norm"] = None

        self.change(folders[1].layers_final, spoil)
        for column, gap in ((0, 1), (1, 2)):
            values = figures.mean_layers(folders, column, True)
            self.assertEqual([index for index, value in enumerate(values) if not math.isfinite(value)], [gap])
        self.assertEqual(self.call("--report", *self.SMALL, draw=figures.draw)[0], 0)
        # Where nothing is finite, the panel by size has no line and no legend.
        for path in self.output.glob("arms/*/layers-final.json"):
            self.change(path, lambda content: [layer.update(response_std=None, gradient_norm=None) for layer in content["layers"]])
        code, printed = self.call("--report", *self.SMALL, draw=figures.draw)
        self.assertEqual((code, "legend" in printed), (0, False), printed)

        pyplot = figures.load_matplotlib()
        layers = [(deviation, norm, 3) for deviation, norm in ((1.0, 0.1), (math.nan, 0.2), (3.0, math.nan), (2.0, 0.4))]
        figure = plot_layers.draw([("net", layers)], pyplot)
        for axes, wanted in zip(figure.axes, ([1.0, None, 3.0, 2.0], [3.0, 2.0, 1.0], [0.1, 0.2, None, 0.4])):
            self.assertEqual([value if math.isfinite(value) else None for value in axes.lines[0].get_ydata()], wanted)
        pyplot.close(figure)

    def test_labels_of_layers_tell_files_apart(self):
        def labels(*names):
            return plot_layers.labels_of([pathlib.Path(name) for name in names])

        self.assertEqual(labels("a/first.json", "b/second.json"), ["first", "second"])
        self.assertEqual(labels("arms/plain20-seed0/layers-final.json", "arms/resnet20-seed0/layers-final.json", "own.json"),
                         ["plain20-seed0/layers-final", "resnet20-seed0/layers-final", "own"])  # fmt: skip
        self.assertEqual(labels("one/plain20/final.json", "two/plain20/final.json"), ["one/plain20/final", "two/plain20/final"])
        self.assertEqual(labels("here/final.json", "here/../here/final.json"), ["final", "final"], "it is one file")

    def test_means_over_seeds(self):
        self.assertEqual(figures.mean_curve([[(1, 2.0), (2, 4.0)], [(1, 4.0), (2, 8.0), (3, 1.0)]]), [(1, 3.0), (2, 6.0)])
        self.assertEqual(figures.mean_curve([]), [])
        content = {"curves": {"validation": [{"iteration": i, "top1_error": value} for i, value in enumerate((1.0, None, "NaN", "Infinity", 2.0))]}}
        self.assertEqual(results.Result(None, content, None, None, None).curve("validation"), [(0, 1.0), (4, 2.0)])
        self.assertEqual(figures.thinned([(i, float(i)) for i in range(4)], 2), [(0.5, 0.5), (2.5, 2.5)])


class ProgressLine(Experiment):
    def test_it_tells_what_is_left(self):
        self.call(*self.SMALL)
        plan = planning.load(self.output / "plan.json")
        folders = {arm.name: results.ArmFolder(self.output, arm, plan.facts[arm.name]) for arm in plan.arms}
        big = next(arm for arm in plan.arms if arm.name == "plain32-seed0")
        log = folders[big.name].file("log.jsonl")
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("")
        for arm in plan.arms:
            if arm is not big:
                folders[arm.name].file("log.jsonl").unlink()
        with mock.patch.object(time, "monotonic", lambda: 100.0):
            line = progress.Progress(plan.arms, 20, 2, (), folders, False)
        log.write_text("".join(lines[:10]) + '{"type":"train","itera')
        # 10 of its 20 iterations in 10 s: a whole arm of 32 layers takes 20 s, of 20 layers 12.5. On two slots: 10 + 12.5, and 20 + 12.5.
        with mock.patch.object(time, "monotonic", lambda: 110.0):
            text = line.text((), [big])
        error = json.loads(lines[9])["top1_error"]
        self.assertEqual(text, f"0 of 4 arms, 15 %; 32 s left; plain32-seed0 10/20 error {error:.1f} %")


class RealProgram(Processes):
    def setUp(self):
        super().setUp()
        if OPTIONS.programs is None:
            self.skipTest("--programs was not given")
        self.programs = OPTIONS.programs


class Smoke(RealProgram):
    def test_a_grid_that_is_killed_ends_with_the_same_bytes(self):
        seed = random.randrange(1 << 30)
        words = () if OPTIONS.full else ("--epochs", "2", "--depths", "20,32", "--no-shortcuts")
        with self.subTest(random_seed=seed):
            self.compare_with_killed(words, OPTIONS.kills or (10 if OPTIONS.full else 3), random.Random(seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, metavar="DIR", help="folder of the real train-imagenet")
    parser.add_argument("--full", action="store_true", help="the whole smoke preset, and 10 kills")
    parser.add_argument("--kills", type=int, metavar="N")
    _, rest = parser.parse_known_args(namespace=OPTIONS)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
