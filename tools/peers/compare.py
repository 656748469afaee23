#!/usr/bin/env python3
"""Times protolith and PyTorch in turn, so that both meet the same machine, and prints the ratios.

    tools/peers/compare.py [step|eval] [--workload Op] [--rounds 7] [--protolith PATH] [--markdown]

Each round runs the programs once: protolith, PyTorch as it comes, PyTorch with its best malloc
setting and, for eval, also with the encoder by torch.jit.optimize_for_inference. The figure of a
program is the median over the rounds of its median times; beside it stand the fastest and slowest
round. Close other programs first: a busy core doubles every figure. --markdown prints the line for
the table of docs/performance.md.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROTOLITH, PLAIN = "protolith", "PyTorch"
TUNED_MALLOC, OPTIMIZED = "PyTorch, tuned malloc", "the same, optimized"
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184"}


def measure(command, extra_environment):
    result = subprocess.run(
        command, env={**os.environ, **extra_environment}, capture_output=True, text=True
    )
    if result.returncode != 0:
        sys.exit(f"compare.py: {' '.join(map(str, command))} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def print_table(medians, times, memory):
    print(f"{'':24}{'median ms':>10}{'fastest':>10}{'slowest':>10}{'peak MB':>10}{'ratio':>8}")
    for name, median in medians.items():
        print(f"{name:24}{median:10.1f}{min(times[name]):10.1f}{max(times[name]):10.1f}"
              f"{memory[name]:10.0f}{median / medians[PROTOLITH]:8.2f}")


def markdown_line(what, medians, times, memory):
    def ratio(name):
        return f"{medians[name] / medians[PROTOLITH]:.2f}"

    tuned, tuned_ratio = f"{medians[TUNED_MALLOC]:.1f}", ratio(TUNED_MALLOC)
    if OPTIMIZED in medians:
        tuned += f" (optimized {medians[OPTIMIZED]:.1f})"
        tuned_ratio += f" ({ratio(OPTIMIZED)})"
    own = times[PROTOLITH]
    cells = [what, f"{medians[PROTOLITH]:.1f} ({min(own):.1f} to {max(own):.1f})",
             f"{memory[PROTOLITH]:.0f}", f"{tuned}, {memory[TUNED_MALLOC]:,.0f} MB",
             f"{medians[PLAIN]:.1f}, {memory[PLAIN]:,.0f} MB", tuned_ratio, ratio(PLAIN)]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["step", "eval"], nargs="?", default="step")
    parser.add_argument("--workload", choices=["O", "Op", "M"], default="Op")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--protolith", default=HERE.parent.parent / "build/release/protolith")
    parser.add_argument("--markdown", action="store_true", help="a line of docs/performance.md")
    parser.add_argument("--python", default="/usr/bin/python3", help="one that has torch")
    arguments = parser.parse_args()

    options = [arguments.what, "--workload", arguments.workload]
    options += ["--threads", str(arguments.threads), "--repeats", str(arguments.repeats)]
    peer = [arguments.python, HERE / "torch_step.py", *options]
    programs = {
        PROTOLITH: ([arguments.protolith, "bench", *options, "--json"], {}),
        PLAIN: (peer, {}),
        TUNED_MALLOC: (peer, TUNED),
    }
    if arguments.what == "eval":
        programs[OPTIMIZED] = ([*peer, "--optimize"], TUNED)
    results = {name: [] for name in programs}
    for _ in range(arguments.rounds):
        for name, (command, environment) in programs.items():
            results[name].append(measure(command, environment))

    medians = {n: statistics.median(r["median_ms"] for r in rs) for n, rs in results.items()}
    times = {n: [r["median_ms"] for r in rs] for n, rs in results.items()}
    memory = {n: max(r["peak_memory_mb"] for r in rs) for n, rs in results.items()}
    title = f"{arguments.what} {arguments.workload}"
    if arguments.markdown:
        print(markdown_line(title, medians, times, memory))
        return
    print(f"{title}, {arguments.rounds} rounds, {arguments.threads} threads: "
          f"{results[PROTOLITH][0]['device']}; {results[PLAIN][0]['device']}")
    print_table(medians, times, memory)


if __name__ == "__main__":
    main()
