#!/usr/bin/env python3
"""tools/profile: what summarize makes of CSV files in the profilers' layouts (nsight/*.csv, made up),
what it says of files that it does not know, and how nsys.sh and ncu.sh call the profilers, or refuse;
the profilers are stand-ins that write down their arguments.

usage: nsight.py PROTOLITH
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parent
ROOT = TESTS.parent.parent
PROFILE = ROOT / "tools" / "profile"
DATA = TESTS / "nsight"
PROGRAM = ""


def run(*command, env=None, cwd=None):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, env=env, cwd=cwd,
                          check=False)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text, executable=False):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if executable:
            path.chmod(0o755)
        return path


class Summarize(Folder):
    def families(self, *arguments):
        result = run(sys.executable, PROFILE / "summarize", "--json", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        files = json.loads(result.stdout)["files"]
        return {row["family"]: row for row in files[-1]["families"]}

    def refusal(self, *arguments):
        result = run(sys.executable, PROFILE / "summarize", *arguments)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def test_kernel_summary(self):
        rows = self.families(DATA / "cuda_gpu_kern_sum.csv")
        self.assertEqual(list(rows), ["relu_pool", "cuDNN, cuBLAS", "adam", "elementwise"])  # by time
        self.assertEqual(rows["relu_pool"]["launches"], 12)
        self.assertAlmostEqual(rows["relu_pool"]["us"], 500)
        self.assertAlmostEqual(rows["relu_pool"]["us_per_launch"], 500 / 12)
        self.assertAlmostEqual(rows["relu_pool"]["share"], 500 / 1050)
        self.assertEqual(rows["cuDNN, cuBLAS"]["launches"], 22)
        self.assertNotIn("dram_bytes", rows["adam"])

    def test_trace_with_and_without_the_column_of_green_contexts(self):
        rows = self.families(DATA / "cuda_gpu_trace.csv")
        self.assertEqual({f: r["launches"] for f, r in rows.items()}, {"relu": 2, "episode_gather": 1, "copies": 1})
        self.assertAlmostEqual(rows["relu"]["us"], 7)
        older = (DATA / "cuda_gpu_trace.csv").read_text().replace("GreenCtx,", "").replace(",1,,7,", ",1,7,")
        self.assertEqual(self.families(self.write("older.csv", older)), rows)

    def test_other_units_of_time(self):
        text = "Time (%),Total Time (us),Instances,Name\n100.0,12.5,5,void protolith::cuda::adam_kernel<(int)4>(float *)\n"
        self.assertAlmostEqual(self.families(self.write("us.csv", text))["adam"]["us"], 12.5)

    def test_raw_page(self):
        rows = self.families(DATA / "ncu_raw.csv")
        pool = rows["max_pool"]
        self.assertEqual(pool["launches"], 2)
        self.assertAlmostEqual(pool["us"], 40)
        self.assertAlmostEqual(pool["dram_bytes"], 72253440 + 22579200 + 22e6 + 72e6)
        # Percentages by time: 30 us and 10 us.
        self.assertAlmostEqual(pool["l2_hit_percent"], (10 * 30 + 50 * 10) / 40)
        self.assertAlmostEqual(pool["occupancy_percent"], (80 * 30 + 60 * 10) / 40)
        self.assertAlmostEqual(pool["issue_percent"], (20 * 30 + 40 * 10) / 40)
        # Not the larger one of warps that did not issue, and (below) not those selected to.
        self.assertEqual(pool["stall"], {"reason": "long_scoreboard", "warps": 35.0})
        self.assertEqual(rows["elementwise"]["stall"]["reason"], "barrier")
        self.assertEqual(rows["cuDNN, cuBLAS"]["stall"], {"reason": "long_scoreboard", "warps": 0.6})
        self.assertIsNone(rows["elementwise"]["issue_percent"])  # n/a
        # All of the tensor pipe's, not those of a kind once more.
        self.assertEqual(rows["cuDNN, cuBLAS"]["tensor_instructions"], 471859)

    def test_raw_page_in_older_units(self):
        text = (DATA / "ncu_raw.csv").read_text().replace('"ns"', '"usecond"').replace('"byte"', '"Kbyte"')
        older = self.families(self.write("older.csv", text))
        self.assertAlmostEqual(older["elementwise"]["us"], 4000)
        self.assertAlmostEqual(older["elementwise"]["dram_bytes"], 1204e3)

    def test_details_page(self):
        relu = self.families(DATA / "ncu_details.csv")["relu"]
        self.assertEqual(relu["launches"], 1)
        self.assertAlmostEqual(relu["us"], 12.5)
        self.assertAlmostEqual(relu["dram_bytes"], 35e6)
        self.assertAlmostEqual(relu["l2_hit_percent"], 33.3)
        self.assertAlmostEqual(relu["occupancy_percent"], 90)

    def test_every_kernel_has_its_family(self):
        sources = list((ROOT / "kernels" / "cuda").glob("*.cu"))
        kernels = sum(source.read_text().count("__global__ void") for source in sources)
        lines = ["Total Time (ns),Instances,Name"]
        for source in sources:
            for part in source.read_text().split("__global__ void")[1:]:
                name = next(word for word in part.replace("(", " ").split() if word.endswith("_kernel"))
                lines.append(f'1000,1,"void protolith::cuda::<unnamed>::{name}<(int)4>(float *)"')
        rows = self.families(self.write("all.csv", "\n".join(lines) + "\n"))
        self.assertEqual(sum(row["launches"] for row in rows.values()), kernels)
        self.assertEqual(set(rows), {source.stem for source in sources})

    def test_predictions(self):
        cost = run(PROGRAM, "bench", "cost", "--workload", "Op", "--json")
        self.assertEqual(cost.returncode, 0, cost.stderr)
        file = self.write("cost.json", cost.stdout)
        rows = self.families("--cost", file, "--episodes", 2, "--device", "t4", DATA / "cuda_gpu_kern_sum.csv")
        work = [w for w in json.loads(cost.stdout)["work"] if w.get("family") == "relu_pool"]
        self.assertEqual(len(work), 6)  # three blocks with a pool, each way
        moved = sum(w["read_bytes"] + w["written_bytes"] for w in work)
        pool = rows["relu_pool"]
        self.assertEqual(pool["predicted_launches"], 12)
        self.assertEqual(pool["predicted_bytes"], 2 * moved)
        self.assertEqual(pool["predicted_flops"], 2 * sum(w["flops"] for w in work))
        floor = sum(max((w["read_bytes"] + w["written_bytes"]) / 320e9, w["flops"] / 8.1e12) for w in work)
        self.assertAlmostEqual(pool["floor_us"], 2e6 * floor)
        self.assertAlmostEqual(pool["times_floor"], 500 / (2e6 * floor))
        self.assertAlmostEqual(pool["gb_per_s"], 2 * moved / 500e-6 * 1e-9)
        libraries = [w for w in json.loads(cost.stdout)["work"] if w["by"] in ("cuDNN", "cuBLAS")]
        self.assertEqual(rows["cuDNN, cuBLAS"]["predicted_launches"], 2 * sum(w["launches"] for w in libraries))
        text = run(sys.executable, PROFILE / "summarize", "--cost", file, DATA / "cuda_gpu_kern_sum.csv")
        self.assertIn("H100", text.stdout)
        self.assertIn("x floor", text.stdout)

    def test_missing_columns_are_named_beside_those_seen(self):
        one = self.write("one.csv", "Time (%),Instances,Name\n1,2,x\n")
        self.assertEqual(self.refusal(one), f"summarize: {one}: no column 'Total Time (ns)'; columns seen: "
                                            "Time (%), Instances, Name\n")
        two = self.write("two.csv", "Start (ns),CorrId,Name\n1,2,x\n")
        self.assertIn("no column 'Duration (ns)'; columns seen: Start (ns), CorrId, Name", self.refusal(two))
        three = self.write("three.csv", '"ID","Kernel Name","Metric Name","Metric Value"\n"0","k","m","1"\n')
        self.assertIn("no column 'Metric Unit'; columns seen: ID, Kernel Name, Metric Name, Metric Value",
                      self.refusal(three))
        four = self.write("four.csv", '"ID","Kernel Name","x"\n"","","s"\n"0","k","1"\n')
        self.assertIn("no column 'gpu__time_duration.sum'; columns seen: ID, Kernel Name, x", self.refusal(four))
        five = self.write("five.csv", "a,b,c\n1,2,3\n")
        self.assertIn("no column 'Name' (nsys) or 'Kernel Name' (ncu); columns seen: a, b, c", self.refusal(five))
        self.assertIn("columns seen: none", self.refusal(self.write("six.csv", "")))
        seven = self.write("seven.csv", '"ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n'
                                        '"0","k","lts__t_sector_hit_rate.pct","%","1"\n')
        self.assertIn("no column 'gpu__time_duration.sum' for k", self.refusal(seven))

    def test_values_that_cannot_be_read(self):
        head = "Total Time (ns),Instances,Name\n"
        self.assertIn("'1.2.3' is no number", self.refusal(self.write("a.csv", head + "1.2.3,1,x\n")))
        self.assertIn("a line of 2 columns", self.refusal(self.write("b.csv", head + "12,1\n")))
        self.assertIn("no kernel in it", self.refusal(self.write("c.csv", head)))
        raw = '"ID","Kernel Name","gpu__time_duration.sum"\n'
        self.assertIn("unit 'fortnight'", self.refusal(self.write("d.csv", raw + '"","","fortnight"\n"0","k","1"\n')))
        self.assertIn("no line of units", self.refusal(self.write("e.csv", raw + '"0","k","1"\n')))
        self.assertIn("No such file", self.refusal(self.folder / "none.csv"))
        self.assertIn("not what `protolith bench cost --json` prints",
                      self.refusal("--cost", self.write("f.json", "[]"), DATA / "ncu_raw.csv"))
        cost = self.write("g.json", run(PROGRAM, "bench", "cost", "--json").stdout)
        self.assertIn("--device Voodoo", self.refusal("--cost", cost, "--device", "Voodoo", DATA / "ncu_raw.csv"))
        self.assertEqual(run(sys.executable, PROFILE / "summarize", "--episodes", 0, DATA / "ncu_raw.csv").returncode, 2)


STUB = """#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0")" "$@" -- >>"$CALLS"
"""
NSYS = STUB + """
case $1 in
  profile) touch "$OUT/nsys.nsys-rep" ;;
  stats) cp "$DATA/cuda_gpu_kern_sum.csv" "$OUT/nsys_cuda_gpu_kern_sum.csv" ;;
esac
"""
NCU = STUB + """
case $1 in
  --import) cat "$DATA/ncu_raw.csv" ;;
  *) touch "$OUT/ncu.ncu-rep" ;;
esac
"""
# protolith as it would be where CUDA is.
WITH_CUDA = """#!/usr/bin/env bash
case $1 in
  info) echo '{"build": {"cuda": true}, "devices": [{"name": "cuda", "available": true, "description": "x"}]}' ;;
  *) exec "$PROTOLITH" "$@" ;;
esac
"""
WITHOUT_CUDA = """#!/usr/bin/env bash
echo '{"build": {"cuda": false}, "devices": [{"name": "cuda", "available": false, "description": "not available"}]}'
"""

WITHOUT_DEVICE = WITHOUT_CUDA.replace('"cuda": false', '"cuda": true').replace("not available", "no driver here")


class Scripts(Folder):
    def setUp(self):
        super().setUp()
        # No more on the PATH than the scripts need: nobody's real profiler.
        for tool in ("bash", "env", "dirname", "basename", "mkdir", "touch", "cat", "cp", "rm", "python3"):
            (self.folder / "bin").mkdir(exist_ok=True)
            (self.folder / "bin" / tool).symlink_to(shutil.which(tool))
        self.calls = self.folder / "calls"
        self.out = self.folder / "out"
        self.env = {"PATH": str(self.folder / "bin"), "CALLS": str(self.calls), "OUT": str(self.out),
                    "DATA": str(DATA), "PROTOLITH": PROGRAM, "HOME": os.environ.get("HOME", "/")}

    def script(self, name, *arguments):
        return run("/bin/bash", PROFILE / name, *arguments, env=self.env, cwd=self.folder)

    def recorded(self):
        """The calls of stand-ins, each a list of words."""
        calls = self.calls.read_text().split("\n--\n") if self.calls.exists() else []
        return [call.split("\n") for call in calls if call]

    def refused(self, code, name, *arguments):
        result = self.script(name, *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(self.recorded(), [])
        self.assertTrue(result.stderr.splitlines()[-1].startswith(name + ": "), result.stderr)
        return result.stderr

    def test_without_the_profilers(self):
        message = self.refused(3, "nsys.sh", "--episodes", "3:5", "train", "--preset", "demo")
        self.assertIn("nsys (NVIDIA Nsight Systems) is not installed", message)
        self.assertIn("cuda-nsight-systems-13-0", message)
        message = self.refused(3, "ncu.sh", "bench", "kernels", "--device", "cuda")
        self.assertIn("ncu (NVIDIA Nsight Compute) is not installed", message)
        self.assertIn("cuda-nsight-compute-13-0", message)

    def test_without_cuda(self):
        self.write("bin/nsys", NSYS, executable=True)
        program = self.write("cpu", WITHOUT_CUDA, executable=True)
        message = self.refused(3, "nsys.sh", "--program", program, "bench", "kernels")
        self.assertIn("was built without the CUDA backend", message)
        self.assertIn("preset profile", message)
        program = self.write("cuda", WITHOUT_DEVICE, executable=True)
        message = self.refused(3, "nsys.sh", "--program", program, "bench", "kernels")
        self.assertIn("finds no CUDA device: no driver here", message)
        message = self.refused(3, "nsys.sh", "--program", self.folder / "none", "bench", "kernels")
        self.assertIn("none is missing: build it with 'cmake --preset profile", message)
        # The program as built here: with CUDA or without, but where there is a device this says nothing.
        info = json.loads(run(PROGRAM, "info", "--json").stdout)
        if not info["devices"][1]["available"]:
            message = self.refused(3, "nsys.sh", "--program", PROGRAM, "bench", "kernels")
            self.assertIn("finds no CUDA device" if info["build"]["cuda"] else "was built without", message)

    def test_wrong_usage(self):
        train = ("train", "--preset", "demo")
        for episodes in ("5", "0:5", "7:3", "a:b", ":4", "-1:4", "1:2:3"):
            self.assertIn(f"--episodes {episodes}: must be A:B", self.refused(2, "nsys.sh", "--episodes", episodes, *train))
        self.assertIn("train needs --episodes", self.refused(2, "ncu.sh", *train))
        self.assertIn("only train has episodes", self.refused(2, "ncu.sh", "--episodes", "1:2", "eval", "run"))
        self.assertIn("--workload X", self.refused(2, "ncu.sh", "--workload", "X", "bench"))
        self.assertIn("only ncu.sh chooses kernels", self.refused(2, "nsys.sh", "--kernels", "relu", "bench"))
        self.assertIn("unknown option '--nonsense'", self.refused(2, "nsys.sh", "--nonsense", "bench"))
        self.assertIn("--out needs a value", self.refused(2, "nsys.sh", "--out"))
        self.assertIn("what shall the program do?", self.refused(2, "nsys.sh"))
        for script in ("nsys.sh", "ncu.sh"):
            self.assertEqual(self.script(script, "--help").returncode, 0)

    def test_nsys_records_the_episodes_node_by_node(self):
        self.write("bin/nsys", NSYS, executable=True)
        program = self.write("protolith", WITH_CUDA, executable=True)
        result = self.script("nsys.sh", "--program", program, "--out", self.out, "--episodes", "20:21", "--workload",
                             "Op", "train", "--preset", "demo")
        self.assertEqual(result.returncode, 0, result.stderr)
        profile, stats = self.recorded()
        self.assertEqual(profile[:2], ["nsys", "profile"])
        for option in ("--cuda-graph-trace=node", "--capture-range=cudaProfilerApi", "--capture-range-end=stop",
                       "--kill=none", f"--output={self.out}/nsys"):
            self.assertIn(option, profile)
        self.assertEqual(profile[-8:], [str(program), "train", "--preset", "demo", "--episodes", "21",
                                        "--profile-episodes", "20:21"])
        self.assertEqual(stats[:2], ["nsys", "stats"])
        self.assertIn("cuda_gpu_kern_sum", stats)
        self.assertIn("cuda_gpu_trace", stats)
        self.assertIn("2 episode(s)", result.stdout)
        self.assertRegex(result.stdout, r"relu_pool +12 +500\.0 .* 12 ")

    def test_training_goes_on_where_the_command_says_so(self):
        self.write("bin/nsys", NSYS, executable=True)
        program = self.write("protolith", WITH_CUDA, executable=True)
        for length in (("--episodes", "400"), ("--episodes=400",)):
            self.script("nsys.sh", "--program", program, "--out", self.out, "--episodes", "08:09", "train", *length)
            self.assertEqual(self.recorded()[-2][-(4 + len(length)):],
                             [str(program), "train", *length, "--profile-episodes", "08:09"])

    def test_nsys_records_all_of_another_command(self):
        self.write("bin/nsys", NSYS, executable=True)
        program = self.write("protolith", WITH_CUDA, executable=True)
        result = self.script("nsys.sh", "--program", program, "--out", self.out, "bench", "kernels")
        self.assertEqual(result.returncode, 0, result.stderr)
        profile = self.recorded()[0]
        self.assertFalse([word for word in profile if "capture-range" in word])
        self.assertEqual(profile[-3:], [str(program), "bench", "kernels"])
        self.assertNotIn("floor", result.stdout)

    def test_ncu_measures_nodes_of_graphs_with_lines_of_source(self):
        self.write("bin/ncu", NCU, executable=True)
        program = self.write("protolith", WITH_CUDA, executable=True)
        result = self.script("ncu.sh", "--program", program, "--out", self.out, "--episodes", "20:20", "--kernels",
                             "relu|pool", "train", "--preset", "demo")
        self.assertEqual(result.returncode, 0, result.stderr)
        measure, page = self.recorded()
        pairs = list(zip(measure, measure[1:]))
        for pair in (("--graph-profiling", "node"), ("--profile-from-start", "off"), ("--import-source", "yes"),
                     ("--kernel-name", "regex:relu|pool"), ("--section", "WarpStateStats"),
                     ("--section", "SourceCounters")):
            self.assertIn(pair, pairs)
        metrics = measure[measure.index("--metrics") + 1].split(",")
        for metric in ("dram__bytes_read.sum", "dram__bytes_write.sum", "lts__t_sector_hit_rate.pct",
                       "sm__warps_active.avg.pct_of_peak_sustained_active", "gpu__time_duration.sum",
                       r"regex:sm__inst_executed_pipe_tensor.*\.sum$"):
            self.assertIn(metric, metrics)
        self.assertIn("regex:smsp__average_warps_issue_stalled_.*_per_issue_active.ratio", metrics)
        self.assertEqual(measure[-8:], [str(program), "train", "--preset", "demo", "--episodes", "20",
                                        "--profile-episodes", "20:20"])
        self.assertEqual(page[1:], ["--import", f"{self.out}/ncu.ncu-rep", "--csv", "--page", "raw",
                                    "--print-units", "base"])
        self.assertRegex(result.stdout, r"max_pool +2 +40\.0")

    def test_a_profiler_that_recorded_nothing(self):
        program = self.write("protolith", WITH_CUDA, executable=True)
        for tool in ("nsys", "ncu"):
            self.write(f"bin/{tool}", STUB, executable=True)
            self.write(f"out/{tool}.{tool}-rep", "of an earlier call")
            result = self.script(f"{tool}.sh", "--program", program, "--out", self.out, "--episodes", "900:900", "train")
            self.assertEqual(result.returncode, 1, tool)
            self.assertIn({"nsys": "were there episodes 900:900?", "ncu": "no kernel was measured"}[tool], result.stderr)

    def test_the_preset_has_lines_of_source(self):
        presets = {p["name"]: p for p in json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]}
        self.assertEqual(presets["profile"]["inherits"], "cuda")
        self.assertIn("-lineinfo", presets["profile"]["cacheVariables"]["CMAKE_CUDA_FLAGS"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: nsight.py PROTOLITH")
    PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
    unittest.main()
