#!/usr/bin/env python3
"""Breaks the kernels on purpose and demands that their tests notice.

mutate.py barriers PROGRAM [--one-per-file]
    Runs the test program once for each __syncthreads() and __syncwarp() in kernels/cuda, with that
    one doing nothing (the executor sees to it; nothing is compiled).
mutate.py bounds BUILD [--files NAME...]
    For each comparison in kernels/cuda/*.cu that may guard an access, and each early return:
    compiles a copy of the file with the comparison off by one, or without the return, and runs the
    tests with it. BUILD is a configured build folder, of the address sanitizer for good reason.

Prints a table of what was broken and which test noticed. Exits 1 when nothing noticed: then the
tests are too weak, or the barrier or the bound is superfluous; and when nothing was broken or the
tests fail unbroken. Breaks that change nothing anyone could notice are listed, with the reason, in
unnoticeable_mutations.txt beside this file.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KERNELS = ROOT / "kernels" / "cuda"


class Program:
    """A doctest program whose tests are run until the first failure."""

    def __init__(self, path, timeout):
        self.path, self.timeout = path, timeout

    def verdict(self, environment=None):
        """None when all tests pass, else what happened, in a few words."""
        try:
            run = subprocess.run(
                [self.path, "--abort-after=1"], env={**os.environ, **(environment or {})},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=self.timeout,
                errors="replace")
        except subprocess.TimeoutExpired:
            return "did not end"
        if run.returncode == 0:
            return None
        test = re.search(r"TEST CASE: +(.*)", run.stdout)
        sanitizer = re.search(r"ERROR: \w+Sanitizer:? ([\w-]+)|runtime error: (.{0,60})", run.stdout)
        if sanitizer:
            return "sanitizer: " + (sanitizer[1] or sanitizer[2])
        return test[1] if test else f"exit status {run.returncode}"


DOES_NOT_COMPILE = "does not compile"


class Table:
    """Prints results as they come and counts those that went unnoticed."""

    def __init__(self):
        self.noticed = self.unnoticed = self.not_compiled = 0

    def add(self, broken, verdict):
        if verdict is None:
            self.unnoticed += 1
        elif verdict == DOES_NOT_COMPILE:
            self.not_compiled += 1
        else:
            self.noticed += 1
        print(f"{broken:<64}  {verdict or 'SURVIVED'}", flush=True)

    def exit_status(self):
        print(f"{self.noticed} noticed, {self.unnoticed} survived, {self.not_compiled} did not compile")
        return int(self.unnoticed > 0 or self.noticed == 0)


def code_of(line):
    """The line without its comment."""
    return line.split("//")[0]


def barriers_in_source():
    """file:line of each barrier that is written in kernels/cuda."""
    return [f"{path.relative_to(ROOT)}:{number}"
            for path in sorted(KERNELS.glob("*.cu*"))
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if re.search(r"__sync(threads|warp)\(", code_of(line))]


def mutate_barriers(arguments):
    program = Program(arguments.program, arguments.timeout)
    with tempfile.TemporaryDirectory() as folder:
        listing = pathlib.Path(folder) / "sites"
        failure = program.verdict({"SIMT_BARRIER_SITES": str(listing)})
        if failure:
            sys.exit(f"mutate.py: the tests fail with all barriers in place: {failure}")
        ran = set(listing.read_text().split())
    sites = barriers_in_source()
    table = Table()
    for site in sites:
        if site not in ran:
            table.add(site + " (no test runs it)", None)
    sites = [site for site in sites if site in ran]
    if arguments.one_per_file:
        sites = list({site.split(":")[0]: site for site in reversed(sites)}.values())
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        broken = lambda site: program.verdict({"SIMT_DISABLED_BARRIER": site})
        for site, verdict in zip(sites, pool.map(broken, sites)):
            table.add(site, verdict)
    return table.exit_status()


# A comparison has spaces on both sides; a template's bracket has not (clang-format sees to it).
REPLACEMENTS = [
    (re.compile(r" < "), " <= "),
    (re.compile(r" <= "), " < "),
    (re.compile(r" >= "), " > "),
    (re.compile(r"if \(.*\) (return|continue);"), ";"),
]


def bounds_mutations(path):
    """(line number, new line, description) for each mutation of the file."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = code_of(line)
        for pattern, replacement in REPLACEMENTS:
            for match in pattern.finditer(code):
                new = code[:match.start()] + replacement + code[match.end():]
                yield number, new, f"{path.name}:{number}: {new.strip()}"


def unnoticeable():
    """Descriptions without line numbers, from unnoticeable_mutations.txt: `file: code  # reason`."""
    listing = HERE / "unnoticeable_mutations.txt"
    lines = listing.read_text().splitlines() if listing.exists() else []
    return {line.split("  # ")[0].strip() for line in lines if line and not line.startswith("#")}


class Build:
    """Compiles one source file anew, as the build would, and links a test program with it."""

    def __init__(self, folder, target="tests/gpu_emulation/test_gpu_kernels"):
        self.folder = pathlib.Path(folder).resolve()
        commands = json.loads((self.folder / "compile_commands.json").read_text())
        # A kernel is compiled for other purposes too.
        self.compile = {pathlib.Path(c["file"]): c["command"] for c in commands
                        if not c["file"].endswith(".cu") or "emulated_kernels" in c["command"]}
        listed = subprocess.run(["ninja", "-t", "commands", "-s", target], cwd=self.folder,
                                capture_output=True, text=True, check=True)
        self.link = listed.stdout.strip().splitlines()[-1]
        self.target = target

    def program(self, source, text, folder):
        """The path of the test program built with `text` as the contents of `source`."""
        copy, made, result = folder / source.name, folder / "kernel.o", folder / "tests"
        copy.write_text(text)
        command = self.compile[source]
        built = re.search(r"-o (\S+)", command)[1]
        # What is broken may leave things unused.
        command = command.replace(str(source), str(copy)).replace(built, str(made)) + " -w"
        link = self.link.replace(f"-o {self.target}", f"-o {result} {made}").replace(built, "")
        for step in (command, link):
            done = subprocess.run(step, shell=True, cwd=self.folder, capture_output=True, text=True)
            if done.returncode != 0:
                return None
        return result


    def demand_unbroken(self, sources, timeout):
        """Ends the program unless the sources as they are compile and the tests pass with the last."""
        for source in sources:
            with tempfile.TemporaryDirectory() as folder:
                program = self.program(source, source.read_text(), pathlib.Path(folder))
                if program is None:
                    sys.exit(f"mutate.py: {source.name} does not compile as it is")
                failure = source == sources[-1] and Program(program, timeout).verdict()
                if failure:
                    sys.exit(f"mutate.py: the tests fail with nothing broken: {failure}")


def mutate_bounds(arguments):
    build, known, table = Build(arguments.build), unnoticeable(), Table()
    skipped = []

    def broken(mutation):
        path, number, new, _ = mutation
        lines = path.read_text().splitlines()
        lines[number - 1] = new
        with tempfile.TemporaryDirectory() as folder:
            program = build.program(path, "\n".join(lines) + "\n", pathlib.Path(folder))
            if program is None:
                return DOES_NOT_COMPILE
            return Program(program, arguments.timeout).verdict()

    kernels = [path for path in sorted(KERNELS.glob("*.cu"))
               if not arguments.files or path.stem in arguments.files]
    build.demand_unbroken(kernels, arguments.timeout)
    mutations = []
    for path in kernels:
        for number, new, description in bounds_mutations(path):
            if re.sub(r":\d+:", ":", description, count=1) in known:
                skipped.append(description)
            else:
                mutations.append((path, number, new, description))
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for mutation, verdict in zip(mutations, pool.map(broken, mutations)):
            table.add(mutation[3], verdict)
    print(f"{len(skipped)} are known to be unnoticeable")
    return table.exit_status()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one run of the tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at the same time")
    kinds = parser.add_subparsers(required=True)
    barriers = kinds.add_parser("barriers")
    barriers.add_argument("program")
    barriers.add_argument("--one-per-file", action="store_true")
    barriers.set_defaults(run=mutate_barriers)
    bounds = kinds.add_parser("bounds")
    bounds.add_argument("build")
    bounds.add_argument("--files", nargs="*", help="kernel files, without .cu; default: all")
    bounds.set_defaults(run=mutate_bounds)
    arguments = parser.parse_args()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
