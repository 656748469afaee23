#!/usr/bin/env python3
"""Times protolith and PyTorch in turn, so that both meet the same machine, and prints the ratios.

    tools/peers/compare.py [step|eval] [--workload Op] [--rounds 7] [--protolith PATH]

Each round runs the programs once: protolith, PyTorch as it comes, PyTorch with its best malloc
setting and, for eval, also with the encoder by torch.jit.optimize_for_inference. The figure of a program is the median over the rounds of its median times; beside it
stand the fastest and slowest round. Close other programs first: a busy core doubles every figure.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184"}


def measure(command, extra_environment):
    result = subprocess.run(
        command, env={**os.environ, **extra_environment}, capture_output=True, text=True
    )
    if result.returncode != 0:
        sys.exit(f"compare.py: {' '.join(map(str, command))} failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["step", "eval"], nargs="?", default="step")
    parser.add_argument("--workload", choices=["O", "Op", "M"], default="Op")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--protolith", default=HERE.parent.parent / "build/release/protolith")
    parser.add_argument("--python", default="/usr/bin/python3", help="one that has torch")
    arguments = parser.parse_args()

    options = [arguments.what, "--workload", arguments.workload]
    options += ["--threads", str(arguments.threads), "--repeats", str(arguments.repeats)]
    peer = [arguments.python, HERE / "torch_step.py", *options]
    programs = {
        "protolith": ([arguments.protolith, "bench", *options, "--json"], {}),
        "PyTorch": (peer, {}),
        "PyTorch, tuned malloc": (peer, TUNED),
    }
    if arguments.what == "eval":
        programs["the same, optimized"] = ([*peer, "--optimize"], TUNED)
    results = {name: [] for name in programs}
    for _ in range(arguments.rounds):
        for name, (command, environment) in programs.items():
            results[name].append(measure(command, environment))

    medians = {n: statistics.median(r["median_ms"] for r in rs) for n, rs in results.items()}
    print(f"{arguments.what} {arguments.workload}, {arguments.rounds} rounds, "
          f"{arguments.threads} threads: {results['protolith'][0]['device']}; "
          f"{results['PyTorch'][0]['device']}")
    print(f"{'':24}{'median ms':>10}{'fastest':>10}{'slowest':>10}{'peak MB':>10}{'ratio':>8}")
    for name, rounds in results.items():
        times = [r["median_ms"] for r in rounds]
        memory = max(r["peak_memory_mb"] for r in rounds)
        print(f"{name:24}{medians[name]:10.1f}{min(times):10.1f}{max(times):10.1f}{memory:10.0f}"
              f"{medians[name] / medians['protolith']:8.2f}")


if __name__ == "__main__":
    main()
