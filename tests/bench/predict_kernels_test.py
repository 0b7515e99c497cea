#!/usr/bin/env python3
"""The parts of bench/predict-kernels, on code and cases that are counted by hand. Needs no compiler."""

import dataclasses
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
sys.dont_write_bytecode = True

from kernel_prediction.cases import CASES, Launch, cuda_rows, instance  # noqa: E402
from kernel_prediction.compiled import Kernel, resources, short  # noqa: E402
from kernel_prediction.gpu import GPUS, Gpu  # noqa: E402
from kernel_prediction.loops import loops_of, main_loop  # noqa: E402
from kernel_prediction.predict import predict_all, predict_case  # noqa: E402
from kernel_prediction.report import HEADING, limited, next_limit, replace_section, section  # noqa: E402
from kernel_prediction.sass import parse  # noqa: E402

# y = 2 x in packs of 16 bytes, then the rest one by one. The main loop has a division with a slow form; an inner loop is only for NaN.
SASS = """
\t.section\t.text.scale,"ax",@progbits
.text.scale:
scale:
        /*0000*/                   S2R R0, SR_TID.X ;
        /*0010*/                   ULDC.64 UR4, c[0x0][0x210] ;
        /*0020*/                   ISETP.GE.U32.AND P0, PT, R0, UR4, PT ;
        /*0030*/               @P0 BRA `(.L_x_5) ;
.L_x_0:
        /*0040*/                   IMAD.WIDE R2, R0, 0x10, R20 ;
        /*0050*/                   LDG.E.128 R4, desc[UR8][R2.64] ;
        /*0060*/                   ISETP.GE.AND P1, PT, R0, R9, PT ;
        /*0070*/               @P1 BRA `(.L_x_2) ;
        /*0080*/                   SHF.R.U32.HI R10, RZ, 0x3, R0 ;
        /*0090*/                   BRA `(.L_x_3) ;
.L_x_2:
        /*00a0*/                   CALL.REL.NOINC `($divide) ;
.L_x_3:
        /*00b0*/                   FADD R4, R4, R4 ;
        /*00c0*/                   FADD R5, R5, R5 ;
        /*00d0*/                   FADD R6, R6, R6 ;
        /*00e0*/                   FADD R7, R7, R7 ;
        /*00f0*/                   FSETP.NEU.AND P2, PT, R4, R4, PT ;
        /*0100*/              @!P2 BRA `(.L_x_4) ;
.L_x_1:
        /*0110*/                   LDG.E.128 R4, desc[UR8][R2.64] ;
        /*0120*/                   LDG.E.128 R12, desc[UR8][R2.64] ;
        /*0130*/                   IADD3 R11, R4, R12, RZ ;
        /*0140*/               @P3 BRA `(.L_x_1) ;
.L_x_4:
        /*0150*/                   STG.E.128 desc[UR8][R18.64], R4 ;
        /*0160*/                   IADD3 R0, R0, 0x100, RZ ;
        /*0170*/                   ISETP.GE.U32.AND P0, PT, R0, UR4, PT ;
        /*0180*/              @!P0 BRA `(.L_x_0) ;
.L_x_5:
        /*0190*/                   LDG.E.U16 R4, desc[UR8][R2.64] ;
        /*01a0*/                   STG.E.U16 desc[UR8][R18.64], R4 ;
        /*01b0*/              @!P0 BRA `(.L_x_5) ;
        /*01c0*/                   EXIT ;
.L_x_6:
        /*01d0*/                   BRA `(.L_x_6);
$divide:
        /*01e0*/                   MUFU.RCP R10, R10 ;
        /*01f0*/                   RET.REL.NODEC R22 `(scale);
"""


def scale_kernel(registers=32):
    return Kernel("scale<f16, 8>", registers, 0, 0, parse(SASS)[0])


class Code(unittest.TestCase):
    def setUp(self):
        self.loops, self.prologue = loops_of(parse(SASS)[0])
        self.main = scale_kernel().loops[0]

    def test_finds_each_loop_and_its_place(self):
        self.assertEqual(len(self.loops), 3, "the endless one behind the end is none")
        outer, inner, rest = sorted(self.loops, key=lambda loop: (-len(loop.blocks), -loop.trip.bytes()))
        self.assertIs(inner.parent, outer)
        self.assertIsNone(rest.parent)

    def test_the_main_loop_moves_the_most_bytes(self):
        self.assertEqual(main_loop(self.loops).trip.bytes(), 32)
        self.assertEqual(main_loop(self.loops, trip_bytes=4).trip.bytes("store"), 2)
        self.assertIs(main_loop(self.loops, depth=2), main_loop(self.loops).children[0])
        self.assertIsNone(main_loop(self.loops, trip_bytes=5))
        self.assertIsNone(main_loop([]))

    def test_a_trip_has_neither_calls_nor_inner_loops(self):
        trip = self.main.trip
        self.assertEqual(len(trip.instructions), 16)
        self.assertEqual(dict(trip.accesses), {("load", 16): 1, ("store", 16): 1})
        self.assertEqual(dict(trip.kinds), {"multiply": 1, "global": 2, "integer": 4, "branch": 4, "fp32": 4, "compare": 1})
        self.assertEqual(dict(trip.units), {"imad": 1, "lsu": 8, "alu": 5, "fma": 4})

    def test_a_call_counts_where_there_is_no_way_around_it(self):
        only = SASS.replace("@P1 BRA `(.L_x_2)", "BRA `(.L_x_2)")
        self.assertIn("CALL", [i.name for i in main_loop(loops_of(parse(only)[0])[0]).trip.instructions])

    def test_loads_that_are_under_way_together_wait_once(self):
        self.assertEqual(self.main.trip.waits, 1)
        inner = self.main.children[0].trip
        self.assertEqual((inner.bytes("load"), inner.waits), (32, 1))
        apart = SASS.replace("LDG.E.128 R12, desc[UR8][R2.64]", "LDG.E.128 R12, desc[UR8][R4.64]")
        self.assertEqual(loops_of(parse(apart)[0])[0][0].children[0].trip.waits, 2)

    def test_the_prologue_ends_at_the_loop(self):
        self.assertEqual([i.name for i in self.prologue(self.main).instructions], ["S2R", "ULDC", "ISETP", "BRA"])

    def test_a_listing_of_something_else_is_refused(self):
        with self.assertRaisesRegex(ValueError, "nvdisasm -c"):
            parse("Fatbin elf code:\n")
        with self.assertRaisesRegex(ValueError, r"'\.L_x_9'"):
            loops_of(parse(SASS.replace("(.L_x_6);", "(.L_x_9);"))[0])


class Compiler(unittest.TestCase):
    def test_reads_registers_shared_memory_and_spills(self):
        log = """ptxas info    : Compiling entry function 'scale' for 'sm_90'
ptxas info    : Function properties for scale
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 8192 bytes smem
ptxas info    : Compiling entry function 'plain' for 'sm_90'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 0 barriers"""
        self.assertEqual(resources(log), {"scale": (40, 8192, 16), "plain": (16, 0, 0)})

    def test_shortens_names(self):
        space = "void residua::cuda::(anonymous namespace)::"
        self.assertEqual(short(space + "add_kernel<residua::f16, 8>(long, residua::f16 const*)"), "add_kernel<f16, 8>")
        self.assertEqual(short(space + "halve<float, 4, (residua::ShortcutPool)1>(int)"), "halve<float, 4, (ShortcutPool)1>")
        self.assertEqual(short("residua::cuda::(anonymous namespace)::fill(float)"), "fill")

    def test_names_the_instance_of_a_type(self):
        launch = Launch("x", "k<{T}, {V}, {H}, {C}>")
        self.assertEqual([instance(launch, dtype) for dtype in ("f16", "f32")], ["k<f16, 8, 4, f16>", "k<float, 4, 2, bf16>"])


class Occupancy(unittest.TestCase):
    def check(self, wanted, threads, registers, shared=0, blocks=32):
        self.assertEqual(GPUS["h200"].resident_threads(threads, registers, shared, blocks), wanted)

    def test_registers_shared_memory_warps_blocks_and_the_grid(self):
        self.check(2048, 256, 32)
        self.check(1536, 256, 33)  # 40 are taken, so 12 warps fit on a scheduler
        self.check(1024, 256, 64)
        self.check(768, 256, 80)
        self.check(512, 256, 32, shared=100 * 1024)
        self.check(1024, 32, 16)
        self.check(512, 256, 32, blocks=2)
        self.check(0, 1024, 128)


class Predictions(unittest.TestCase):
    # 32 bytes a trip: 1e6 bytes are 31250 trips, 977 warps.
    ROW = {"kernel": "Scale", "shape": "1000", "type": "f16", "bytes": 1e6, "written_bytes": 5e5}
    GPU = Gpu("test", multiprocessors=10, clock_hz=1e9, copy_bytes_per_second=1e12, launch_us=2.0, latency_us=0.1)

    def predict(self, gpu=GPU, **launch):
        return predict_case(Launch("scale", "scale", **launch), self.ROW, lambda *_: scale_kernel(), gpu)

    def test_each_bound(self):
        p = self.predict()
        trips, threads = 31250, 31250  # the grid takes 10 * 256 * 32 threads, more than there are trips
        self.assertAlmostEqual(p.seconds["memory"], 1e-6)
        self.assertAlmostEqual(p.seconds["issue"], (16 * trips + 4 * threads) / 32 / 4 / 1e10)
        self.assertAlmostEqual(p.seconds["lsu"], 8 * trips / 32 / 1e10)
        self.assertAlmostEqual(p.seconds["alu"], (5 * trips + threads) / 32 / 2 / 1e10)
        self.assertAlmostEqual(p.seconds["latency"], trips * 0.1e-6 / (10 * 2048))
        self.assertEqual(p.bound, "launch")
        self.assertAlmostEqual(p.total, 1e-6 + 2e-6)
        self.assertAlmostEqual(p.share_of_copy, 1 / 3)

    def test_the_slowest_bound_counts(self):
        slow = dataclasses.replace(self.GPU, clock_hz=1e7, launch_us=0)
        p = self.predict(slow)
        self.assertEqual(p.bound, "lsu")
        self.assertAlmostEqual(p.total, max(p.seconds.values()))
        self.assertEqual(next_limit(p)[0], p.bound)
        self.assertEqual([item[0] for item in limited([p])], [p])
        far = dataclasses.replace(self.GPU, latency_us=10)
        self.assertEqual(self.predict(far).bound, "latency")
        self.assertEqual(self.predict(far, cached=1).seconds["latency"], 0)

    def test_trips_by_what_is_written_and_by_nest(self):
        self.assertAlmostEqual(self.predict(trips="written").seconds["lsu"], self.predict(trips="all").seconds["lsu"])
        self.assertAlmostEqual(self.predict(nest=(2,)).seconds["lsu"], 2 * self.predict().seconds["lsu"])

    def test_a_kernel_without_the_described_loop_is_named(self):
        kernel = dataclasses.replace(scale_kernel(), trip_bytes=4, depth=2)
        with self.assertRaisesRegex(ValueError, "scale<f16, 8> has no main loop as described .bytes of a trip: 4, loops in each other: 2"):
            predict_case(Launch("scale", "scale", trip_bytes=4, nest=(1, 1)), self.ROW, lambda *_: kernel, self.GPU)

    def test_an_unknown_case_is_named_and_libraries_are_left_out(self):
        rows = [{**self.ROW, "kernel": kernel} for kernel in ("Novel", "Matmul dx")]
        self.assertEqual(predict_all(rows, None, self.GPU), ([], ["Novel"]))

    def test_kernels_of_the_cuda_device_alone_have_an_entry(self):
        for row in cuda_rows(2):
            self.assertIn(row["kernel"], CASES)
            self.assertEqual((row["bytes"], row["written_bytes"]), (2 * 2 * (224 * 224 * 4 + 115 * 115 * 16), 2 * 2 * 115 * 115 * 16))

    def test_an_operation_is_the_sum_of_its_kernels(self):
        def row(kernel, size):
            return {"kernel": kernel, "shape": "10", "type": "f16", "bytes": size, "written_bytes": size / 2}

        rows = [row("BatchNormStatistics", 1e9), row("BatchNormApply", 2e9), row("batch_norm forward", 3e9)]
        parts, _ = predict_all(rows, lambda *_: scale_kernel(), self.GPU)
        self.assertAlmostEqual(parts[2].total, parts[0].total + parts[1].total)
        self.assertEqual(parts[2].launches, 3)


class Report(unittest.TestCase):
    def section(self, measured=None):
        gpu = dataclasses.replace(Predictions.GPU, launch_us=0)
        p = predict_case(Launch("scale", "scale"), Predictions.ROW, lambda *_: scale_kernel(), gpu)
        facts = {"date": "2026-01-01", "batch": 256, "nvcc": "13.0.88", "nvdisasm": "13.2.51"}
        return section([p], facts, gpu, measured, "a GPU, 2026-01-02")

    def test_says_that_nothing_was_measured(self):
        text = self.section()
        self.assertTrue(text.startswith(HEADING))
        self.assertIn("No number here was measured on a GPU", text)
        self.assertIn("| Scale | 1000 | f16 | 16 | 2 |  | 32 | 100 | 1.0 | memory | 100 | accesses 78 |", text)

    def test_puts_measured_times_beside(self):
        text = self.section({("Scale", "1000", "f16"): 2.0})
        self.assertIn("accesses 78 | 2.0 | 0.50 |", text)
        self.assertIn("a GPU, 2026-01-02", text)

    def test_replaces_its_section_and_nothing_else(self):
        page = "# Page\n\nText.\n"
        once = replace_section(page, HEADING + "\n\nold\n")
        self.assertEqual(once, page + "\n" + HEADING + "\n\nold\n")
        self.assertEqual(replace_section(once + "\n## Next\n\nMore.\n", HEADING + "\n\nnew\n"), page + "\n" + HEADING + "\n\nnew\n\n## Next\n\nMore.\n")


if __name__ == "__main__":
    unittest.main()
