#!/usr/bin/env python3
"""Plants errors (planted_errors.py) and demands that the tests on the emulated device notice.

plant.py BUILD [--only TEXT]
plant.py --check

Applies each error to a copy of its file, compiles that alone, links the test program with it and
runs the tests until one fails. BUILD is a configured build folder with the test programs built.
Prints a table of what was planted and which test noticed; exits 1 when none did, when an error does
not apply or does not compile, and when a test program fails without any. --check only sees whether they all apply.
"""

import argparse
import concurrent.futures
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True  # nothing is left in the source tree
from mutate import ROOT, Build, Program, Table
from planted_errors import PLANTS

FOLDER = "tests/gpu_emulation"
# Kernels have their own tests; for all else the use of cuDNN alone comes first: it is quicker.
KERNEL_TESTS = [f"{FOLDER}/test_gpu_kernels"]
ENGINE_TESTS = [f"{FOLDER}/test_cudnn_engine", f"{FOLDER}/test_gpu_backend"]


def programs_of(file):
    if file.startswith("kernels/"):
        return KERNEL_TESTS
    return ENGINE_TESTS if file.startswith("engine/cuda/cudnn") else ENGINE_TESTS[1:]


def planted(file, old, new):
    """The file's text with the error."""
    text = (ROOT / file).read_text()
    if text.count(old) != 1:
        sys.exit(f"plant.py: '{old}' occurs {text.count(old)} times in {file}")
    return text.replace(old, new)


def verdict(builds, file, old, new, timeout):
    text = planted(file, old, new)
    for target in programs_of(file):
        with tempfile.TemporaryDirectory() as folder:
            program = builds[target].program(ROOT / file, text, pathlib.Path(folder))
            if program is None:
                sys.exit(f"plant.py: {file} does not compile with '{new}'")
            noticed = Program(program, timeout).verdict()
        if noticed is not None:
            return noticed
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?")
    parser.add_argument("--check", action="store_true", help="apply all, compile and run nothing")
    parser.add_argument("--only", default="", help="plants whose file or description contains this")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run of the tests")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    arguments = parser.parse_args()
    plants = [plant for plant in PLANTS if arguments.only in f"{plant[0]}: {plant[1]}"]
    for file, _, old, new in plants:
        planted(file, old, new)
    if arguments.check:
        print(f"{len(plants)} errors apply")
        return 0
    if arguments.build is None:
        parser.error("BUILD is needed: a configured build folder")
    targets = {target for plant in plants for target in programs_of(plant[0])}
    builds = {target: Build(arguments.build, target) for target in targets}
    for target, build in builds.items():
        failure = Program(build.folder / target, arguments.timeout).verdict()
        if failure:
            sys.exit(f"plant.py: {target} fails with nothing planted: {failure}")
    table = Table()
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        notice = lambda plant: verdict(builds, plant[0], plant[2], plant[3], arguments.timeout)
        for (file, what, _, _), noticed in zip(plants, pool.map(notice, plants)):
            table.add(f"{file}: {what}", noticed)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
