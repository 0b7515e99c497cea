#!/usr/bin/python3
"""tools/degradation with several arms at a time, and with arms of several ranks, on the stand-in for train-imagenet.

usage: degradation_division_test.py [--programs DIR [--kills N]] [unittest's arguments]

With --programs also arms of two ranks of the real train-imagenet, which mpirun starts: killed and stopped, they go on."""

import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import unittest
from unittest import mock

import degradation_test
from degradation_experiment import division, trainer
from degradation_experiment.arms import grid_of, nets_of
from degradation_experiment.refusal import Refusal


class Divisions(degradation_test.Processes):
    """Arms that run in parallel, and arms of several ranks."""

    # Starts its words once as one rank of N, or N times if they are short.
    LAUNCHER = """#!/bin/sh
[ "$1" = -n ] || exit 3
export OMPI_COMM_WORLD_SIZE=$2; shift 2
case "$*" in *--version) for rank in $(seq "${STARTS:-$OMPI_COMM_WORLD_SIZE}"); do "$@" || exit; done ;; *) exec "$@" ;; esac
"""

    def setUp(self):
        super().setUp()
        self.mpirun = self.folder / "mpirun"
        self.mpirun.write_text(self.LAUNCHER)
        self.mpirun.chmod(0o755)

    def ranks(self, number):
        return "--ranks", str(number), "--launcher", f"{self.mpirun} -n {number}"

    def call_on(self, processors, *words, **options):
        with mock.patch.object(os, "sched_getaffinity", lambda _: set(range(processors))):
            return self.call(*words, **options)

    def started(self, arm="plain20-seed0", output=None):
        content = json.loads(((output or self.output) / "arms" / arm / "start.json").read_text())
        return {**content, "words": " ".join(content["words"])}

    def plan(self):
        return json.loads((self.output / "plan.json").read_text())

    def test_the_number_of_parallel_arms_changes_nothing(self):
        self.environment["WORK"] = "20"
        words = ("--seeds", "2", "--threads", "1", *self.SMALL)
        arms = [arm.name for arm in grid_of(nets_of((20, 32), 0), 2)]
        products, most = [], []
        for jobs in (1, 3):
            output = self.folder / f"jobs{jobs}"
            self.finish(self.start(*words, "--jobs", str(jobs), output=output))
            products.append({**self.product(output), "plan": (output / "plan.json").read_bytes()})
            begin, end = ([(output / "arms" / arm / name).stat().st_mtime_ns for arm in arms] for name in ("arm.json", "result.json"))
            # Arms that run at the same time may begin to train in any order.
            for earlier, later in itertools.combinations(range(len(arms)), 2):
                self.assertLess(begin[earlier], end[later], "the planned order")
            most.append(max(sum(b <= moment < e for b, e in zip(begin, end)) for moment in begin))
        self.assertEqual(products[0], products[1])
        self.assertEqual(most, [1, 3])

    def test_parallel_arms_divide_the_processors(self):
        code, printed = self.call_on(8, "--jobs", "2", *self.SMALL)
        self.assertEqual(code, 0, printed)
        self.assertIn("2 in parallel with 4 threads", printed)
        self.assertIn("--threads 4 --workers 1", self.started()["words"])
        self.assertEqual(self.plan()["division"], {"ranks": 1, "threads": 4, "group": 0})
        self.assertIn("in bf16, with 4 threads, and its seed", self.report())
        # The plan keeps the threads, so a later call has as many with other processors or jobs.
        for processors, words, parallel in ((8, ("--jobs", "8"), 8), (16, (), 4), (2, (), 1)):
            self.result_path("plain20-seed0").unlink()
            code, printed = self.call_on(processors, *words, *self.SMALL)
            self.assertEqual(code, 0, printed)
            self.assertIn(f"{parallel} in parallel with 4 threads", printed)
            self.assertIn("--threads 4 ", self.started()["words"])
        code, printed = self.call("--threads", "2", *self.SMALL)
        self.assertEqual(code, 2)
        self.assertIn("was made with no --threads, but this call has --threads 2", printed)
        self.change(self.result_path("plain20-seed0"), lambda content: content.update(threads=1))
        self.call("--report", *self.SMALL)
        self.assertIn("trained with different numbers of threads, on which last bits depend: 1, 4.", self.report())

    def test_the_machine_decides_what_is_not_given(self):
        for words, wanted in (((), ("8 in parallel with one thread", 1)), (("--threads", "2"), ("4 in parallel with 2 threads", 2)), (("--jobs", "3", "--threads", "1"), ("3 in parallel with one thread", 1)),
                              (self.ranks(2), ("4 in parallel over 2 ranks with one thread each", 1)), ((*self.ranks(2), "--jobs", "1"), ("1 in parallel over 2 ranks with 4 threads each", 4)),
                              (("--jobs", "2", "--device", "cuda:0,cuda:1,cuda:2"), ("3 in parallel with one thread", 1))):  # fmt: skip
            with mock.patch.object(degradation_test.script.Runner, "run", lambda *_: 0):
                code, printed = self.call_on(8, *words, *self.SMALL)
            self.assertEqual(code, 0, printed)
            self.assertIn(wanted[0], printed)
            self.assertEqual(self.plan()["division"]["threads"], wanted[1])
            shutil.rmtree(self.output)

    def test_a_plan_without_a_division_has_one_thread(self):
        self.call_on(8, *self.SMALL)
        self.change(self.output / "plan.json", lambda content: content.pop("division"))
        self.result_path("plain20-seed0").unlink()
        code, printed = self.call_on(8, *self.SMALL)
        self.assertEqual(code, 0, printed)
        self.assertIn("--threads 1 ", self.started()["words"])

    def test_ranks_start_by_the_launcher(self):
        code, printed = self.call(*self.ranks(2), *self.SMALL)
        self.assertEqual(code, 0, printed)
        start = self.started()
        self.assertEqual(start["OMPI_COMM_WORLD_SIZE"], "2")
        self.assertNotIn("--bn-group", start["words"], "the recipe's groups")
        self.assertEqual(self.plan()["division"]["ranks"], 2)
        self.assertIn("over 2 ranks with", self.report())
        # The plan keeps their number.
        self.result_path("plain20-seed0").unlink()
        code, printed = self.call("--launcher", f"{self.mpirun} -n 2", *self.SMALL)
        self.assertEqual((code, self.started()["OMPI_COMM_WORLD_SIZE"]), (0, "2"), printed)
        code, printed = self.call(*self.ranks(1), *self.SMALL)
        self.assertEqual(code, 2)
        self.assertIn("was made with --ranks 2, but this call has --ranks 1", printed)

    def test_ranks_that_would_change_the_groups_are_refused(self):
        for number, told in ((4, "--ranks 4 would change the results: each rank has 32 of the 128 images of a batch, but batch norm normalizes over 64; wanted 1 or 2"),
                             (3, "--ranks 3 cannot share a batch of 128 images equally")):  # fmt: skip
            code, printed = self.call(*self.ranks(number), *self.SMALL)
            self.assertEqual(code, 2)
            self.assertIn(told, printed)
            self.assertEqual(self.ran(), [])
        for ranks, batch, group, wanted in ((1, 128, 0, 0), (1, 100, 64, 0), (2, 128, 64, 0), (2, 256, 64, 0), (4, 256, 32, 0), (8, 256, 0, 32), (2, 128, 128, 64), (2, 128, 1, 0)):
            self.assertEqual(division.group_of({"batch-size": batch, "bn-group": group}, ranks), wanted, (ranks, batch, group))
        with self.assertRaisesRegex(Refusal, "wanted 1$"):
            division.group_of({"batch-size": 128, "bn-group": 48}, 2)

    def test_groups_that_ranks_make_are_told(self):
        fault = "one-group"
        code, printed = self.call(*self.ranks(2), *self.SMALL, fault=fault)
        self.assertEqual(code, 0, printed)
        self.assertIn("batch norm over groups of 64 images: the part of a rank", printed)
        self.assertIn("--bn-group 64", self.started()["words"])
        self.assertEqual(self.plan()["configuration"]["bn-group"], "64")
        self.assertIn("Batch norm normalizes over groups of 64 images, the part of a rank.", self.report())
        code, printed = self.call("--replan", "--ranks", "1", *self.SMALL, fault=fault)
        self.assertEqual(code, 2)
        self.assertIn("bn-group is 64 there, but 0 in the plan", printed)

    def test_launchers_that_start_something_else(self):
        code, printed = self.call("--ranks", "2", "--launcher", f"{self.mpirun} -n 1", *self.SMALL)
        self.assertEqual(code, 2)
        self.assertRegex(printed, "--launcher .*mpirun -n 1 starts 1 ranks, wanted --ranks 2")
        for launcher, told in ((f"{self.mpirun} -m 2", "--version exited 3"), ("/nowhere/mpirun -n 2", "No such file or directory; install Open MPI, or give another --launcher")):
            code, printed = self.call("--ranks", "2", "--launcher", launcher, *self.SMALL)
            self.assertEqual(code, 2)
            self.assertIn(told, printed)
        code, printed = self.call("--launcher", f"{self.mpirun} -n 2", *self.SMALL)
        self.assertEqual(code, 2)
        self.assertIn("say how many by --ranks N", printed)
        self.assertEqual(self.ran(), [])

    def test_ranks_divide_the_gpus(self):
        four = "cuda:0,cuda:1,cuda:2,cuda:3"
        pairs = division.Division(ranks=2)
        with mock.patch.dict(os.environ):
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            self.assertEqual([(place.device, place.gpus) for place in division.places_of("cuda:0,cuda:1", None, division.Division())], [("cuda:0", ""), ("cuda:1", "")])
            self.assertEqual([(place.device, place.gpus) for place in division.places_of(four, None, pairs)], [("cuda", "0,1"), ("cuda", "2,3")])
            self.assertEqual([(place.device, place.gpus) for place in division.places_of("cuda", None, pairs)], [("cuda", "")])
            for names in ("cuda:0", "cuda:0,cuda:1,cuda:2", "cuda:0,cpu"):
                with self.assertRaisesRegex(Refusal, "wanted a multiple of --ranks 2 such as cuda:0,cuda:1, or cuda"):
                    division.places_of(names, None, pairs)
            os.environ["CUDA_VISIBLE_DEVICES"] = "4,5,6,7"
            self.assertEqual([place.gpus for place in division.places_of(four, None, pairs)], ["4,5", "6,7"])
            with self.assertRaisesRegex(Refusal, "CUDA_VISIBLE_DEVICES has 4 GPUs: 4,5,6,7"):
                division.places_of("cuda:3,cuda:4", None, pairs)
        code, printed = self.call(*self.ranks(2), "--device", four, *self.SMALL)
        self.assertEqual(code, 0, printed)
        starts = [self.started(f"{arm}-seed0") for arm in ("plain32", "resnet32")]
        self.assertEqual([start["CUDA_VISIBLE_DEVICES"] for start in starts], ["0,1", "2,3"])
        self.assertTrue(all("--device cuda --threads 1" in start["words"] for start in starts), starts)

    def test_ctrl_c_saves_the_ranks(self):
        self.environment["WORK"] = "100"
        for words, wanted in (((), signal.SIGTERM), (self.ranks(2), signal.SIGALRM)):
            output = self.folder / wanted.name
            process = self.start(*words, "--jobs", "2", *self.SMALL, output=output)
            self.assertTrue(self.wait_for_steps(process, output, 3))
            process.send_signal(signal.SIGINT)
            self.assertIn("the work so far is saved", self.finish(process, 130))
            stopped = [json.loads(path.read_text()) for path in output.glob("arms/*/stopped.json")]
            self.assertEqual(stopped[0], [wanted], "mpirun kills its ranks a second after SIGTERM")
            self.assertFalse([path for path in output.glob("arms/*/busy")], "a trainer was left")

    def test_ranks_that_outlive_their_launcher_are_waited_for(self):
        # Like Open MPI: a rank is a child that inherits no files, and a killed launcher leaves it behind.
        self.mpirun.write_text(self.LAUNCHER.replace('exec "$@"', '"$@" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-'))
        words = (*self.ranks(2), "--jobs", "1", *self.SMALL)
        self.environment |= {"WORK": "100", "HOLD": str(self.folder / "hold")}
        first = self.start(*words)
        self.assertTrue(self.wait_for_steps(first, self.output, 2))
        (launcher,) = self.children(first)
        (rank,) = map(int, pathlib.Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split())
        os.kill(rank, signal.SIGTERM)  # it saves when `hold` exists
        self.kill(first, trainers_too=True)
        self.environment["WORK"] = "1"
        second = self.start(*words)
        self.assertIn("waiting for the trainers of an earlier call", second.stdout.readline())
        (self.folder / "hold").touch()
        self.finish(second)
        ran = self.ran()
        self.assertFalse([line for line in ran if "TWO TRAINERS" in line], ran)
        self.assertEqual([line.endswith("from 0") for line in ran].count(False), 1, "it goes on after what the rank saved")

    def test_the_last_line_of_a_rank_is_its_reason(self):
        text = "rank 1 of 2: train-imagenet: the disk is full\n-----\nmpirun detected that one or more processes exited\n-----\n"
        self.assertEqual(trainer.last_line(text), "rank 1 of 2: train-imagenet: the disk is full")
        self.assertEqual(trainer.last_line("one\ntwo\n"), "two")
        self.assertEqual(trainer.last_line(""), "no message")


@unittest.skipUnless(shutil.which("mpirun"), "needs mpirun")
class TwoRanks(degradation_test.RealProgram):
    def test_arms_of_two_ranks_that_are_killed_end_with_the_same_bytes(self):
        seed = random.randrange(1 << 30)
        words = ("--ranks", "2", "--jobs", "1", "--threads", "1", "--epochs", "2", "--depths", "20", "--no-shortcuts")
        with self.subTest(random_seed=seed):
            self.compare_with_killed(words, degradation_test.OPTIONS.kills or 2, random.Random(seed))

    def test_ctrl_c_saves_an_arm_of_two_ranks(self):
        words = ("--ranks", "2", "--jobs", "1", "--threads", "1", "--iterations", "1000", "--depths", "20", "--no-shortcuts")
        process = self.start(*words)
        self.assertTrue(self.wait_for_steps(process, self.output, 2))
        process.send_signal(signal.SIGINT)
        self.assertIn("the work so far is saved", self.finish(process, 130))
        (folder,) = [path.parent for path in self.output.glob("arms/*/log.jsonl")]
        console = (folder / "console.txt").read_text()
        (iteration,) = re.findall(r"stopped at iteration (\d+)", console)
        self.assertEqual([int(path.stem.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*")][-1:], [int(iteration)], console)


if __name__ == "__main__":
    degradation_test.main()
