#!/usr/bin/env python3
"""The simulation and the arithmetic of bench/scaling, against cases that are computed by hand."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
sys.dont_write_bytecode = True

from scaling_study.clusters import Assumptions, hierarchical, predict, ring, shape_of, tree  # noqa: E402
from scaling_study.report import predictions, sum_seconds  # noqa: E402
from scaling_study.simulation import Work, interpolated, simulate, work_of  # noqa: E402

# Forward and the last layer 4, two more layers of 2 and 3, nothing after the last sum; update 1.
WORK = Work(gaps=(4.0, 2.0, 3.0), tail=0.0, update=1.0)


class Simulation(unittest.TestCase):
    def check(self, step, seconds, waiting):
        self.assertAlmostEqual(step.seconds, seconds)
        self.assertAlmostEqual(step.waiting, waiting)

    def test_without_communication_a_step_is_its_computing(self):
        self.check(simulate(WORK, [0, 0, 0]), 10, 0)
        self.check(simulate(WORK, [0, 0, 0], computing=0.5, summing=0.5), 10, 0)

    def test_with_an_endlessly_slow_network_a_step_is_the_sums(self):
        slow = simulate(WORK, [1e9, 2e9, 3e9])
        self.assertAlmostEqual(slow.seconds / 6e9, 1)
        # The first sum starts after 4. Of the rest of the backward pass, 5, nothing shows.
        self.check(slow, 4 + 6e9 + 1, 6e9 - 5)

    def test_exact_overlap(self):
        # Each sum ends as the next bucket is complete; the last one has nothing beside it.
        self.check(simulate(WORK, [2, 3, 0.5]), 10.5, 0.5)

    def test_a_late_sum_delays_those_behind_it(self):
        # 4 to 9, 9 to 10, 10 to 10.5; backward ends at 9.
        self.check(simulate(WORK, [5, 1, 0.5]), 11.5, 1.5)

    def test_time_after_the_last_sum_hides_it(self):
        self.check(simulate(Work((4.0,), 2.0, 1.0), [1.5]), 7, 0)
        self.check(simulate(Work((4.0,), 2.0, 1.0), [2.5]), 7.5, 0.5)

    def test_a_shared_core_gains_nothing(self):
        # A core that always has work needs 10 + 3.5 for it, whatever the order. The third sum of 0.5 is what remains at the end.
        self.check(simulate(WORK, [2, 1, 0.5], computing=0.5, summing=0.5), 13.5, 0.5)
        # From 4 on, the layer of 2 and its sum of 2 each take 4; so do the next ones of 1, which leaves 2 of that layer alone.
        self.check(simulate(Work((4.0, 2.0, 3.0), 0.0, 0.0), [2, 1, 0], computing=0.5, summing=0.5), 4 + 4 + 2 + 2, 0)

    def test_sums_that_take_a_share_of_a_core(self):
        # The sums take 2 and 3; beside the first, half of the layer of 2 is computed, which then takes 1 more, and the sums go on unslowed.
        self.check(simulate(WORK, [2, 3, 0.5], computing=0.5), 4 + 2 + 1 + 3 + 1.5 + 0.5 + 1, 0.5)

    def test_slower_ranks_are_slower_in_all_parts(self):
        self.assertEqual(WORK.scaled(2), Work((8.0, 4.0, 6.0), 0.0, 2.0))
        self.assertEqual(WORK.seconds, 10)

    def test_each_gap_has_a_sum(self):
        self.assertRaises(ValueError, simulate, WORK, [1, 2])

    def test_work_is_read_from_step_bench(self):
        exchange = {"sums": [{"bytes": 8, "start_ms": 40.0}, {"bytes": 8, "start_ms": 60.0}], "waits_at_ms": 75.0}
        work = work_of(exchange, 0.1)
        for got, wanted in zip((*work.gaps, work.tail, work.update), (0.04, 0.02, 0.015, 0.025), strict=True):
            self.assertAlmostEqual(got, wanted)


class Report(unittest.TestCase):
    def test_ranks_that_share_cores_are_slower(self):
        exchange = {"sums": [{"bytes": 1000, "start_ms": 40.0}], "waits_at_ms": 40.0}
        row = {"median_ms": 50.0, "batch": 8, "waiting_share": 0.1, "exchange": exchange}
        names = [f"{kind} {ranks}" for kind in ("weak", "strong") for ranks in (1, 2, 4)]
        rows = {name: [row] for name in [*names, "alone 2", "alone 4", "together 2 4", "together 4 2"]}
        sums = {ranks: [{"rows": [{"bytes": 500, "median_us": 9500.0}, {"bytes": 1500, "median_us": 10500.0}]}] for ranks in ("2", "4")}  # 10 ms
        found = {(kind, ranks): steps for kind, ranks, _, _, steps in predictions({"rows": rows, "ranks": [1, 2, 4]}, sums, 2)}
        for kind in ("weak", "strong"):
            self.assertAlmostEqual(found[kind, 2]["alone"].seconds, 0.060)
            self.assertAlmostEqual(found[kind, 4]["alone"].seconds, 0.110, msg="four ranks on two cores")
            self.assertAlmostEqual(found[kind, 4]["together"].seconds, 0.060, msg="its processes have shared the cores")

    def test_a_sum_takes_the_median_of_the_rounds(self):
        rounds = [{"rows": [{"bytes": 1000, "median_us": small}, {"bytes": 2000, "median_us": large}]} for small, large in ((30, 50), (10, 90), (20, 60))]
        for size, wanted in ((4, 20e-6), (1000, 20e-6), (1500, 40e-6), (2000, 60e-6), (4000, 120e-6)):
            self.assertAlmostEqual(sum_seconds(size, rounds), wanted, delta=1e-12)


class Clusters(unittest.TestCase):
    # 8 GPUs a node, 100 GB/s inside, 10 GB/s a GPU outside.
    MADE_UP = Assumptions(nvlink_gbs=100, network_gbs=10, launch_us=0, nvlink_hop_us=0, network_hop_us=0, images_resnet18=1000)

    def test_one_node(self):
        # 14 / 8 of 800 MB at 100 GB/s.
        self.assertAlmostEqual(ring(800e6, 1, self.MADE_UP), 14e-3)
        self.assertAlmostEqual(hierarchical(800e6, 1, self.MADE_UP), 14e-3)
        self.assertAlmostEqual(tree(800e6, 1, self.MADE_UP), 16e-3)

    def test_two_nodes(self):
        # A node's 8 adapters are slower than NVLink: 2 x 15 / 16 of 800 MB at 80 GB/s.
        self.assertAlmostEqual(ring(800e6, 2, self.MADE_UP), 18.75e-3)
        self.assertAlmostEqual(tree(800e6, 2, self.MADE_UP), 20e-3)
        # 14 ms inside; outside each GPU sums 100 MB with one peer: all of it crosses its adapter once.
        self.assertAlmostEqual(hierarchical(800e6, 2, self.MADE_UP), 14e-3 + 10e-3)

    def test_hops(self):
        hops = Assumptions(launch_us=1, nvlink_hop_us=1, network_hop_us=10)
        # 32 nodes: 510 steps round the ring, 62 of them between nodes; 7 up and down in a node, 5 levels of nodes.
        self.assertAlmostEqual(ring(0, 32, hops), (1 + 448 + 620) * 1e-6)
        self.assertAlmostEqual(tree(0, 32, hops), (1 + 14 + 100) * 1e-6)
        self.assertAlmostEqual(hierarchical(0, 32, hops), (1 + 14 + 100) * 1e-6)
        self.assertAlmostEqual(ring(0, 1, hops), (1 + 14) * 1e-6)

    def test_interpolation(self):
        known = [(0.2, 1.0), (0.4, 2.0), (1.0, 5.0)]
        for x, y in ((0.1, 1.0), (0.2, 1.0), (0.3, 1.5), (0.7, 3.5), (1.0, 5.0), (2.0, 5.0)):
            self.assertAlmostEqual(interpolated(x, known), y)

    def test_efficiency(self):
        # A step of 100 ms: the first half of the gradients after half of it, the rest and the wait after 80 %.
        sums = [{"bytes": 30, "start_ms": 500.0}, {"bytes": 30, "start_ms": 800.0}, {"bytes": 0, "start_ms": 800.0}, {"bytes": 0, "start_ms": 800.0}]
        where = shape_of({"sums": sums, "waits_at_ms": 800.0}, 1.0)
        made = predict("resnet18", "bf16", [800e6, 800e6], where, 100, 1, "ring", self.MADE_UP)
        # The first sum of 14 ms hides behind the backward pass, the second does not.
        self.assertAlmostEqual(made.efficiency, 100 / 114)
        self.assertAlmostEqual(made.without_overlap, 100 / 128)
        self.assertAlmostEqual(made.sum_s, 28e-3)


if __name__ == "__main__":
    unittest.main()
