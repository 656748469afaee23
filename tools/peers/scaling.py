#!/usr/bin/env python3
"""How a training step's time grows with the images of a batch, and falls with threads.

    tools/peers/scaling.py [--workload Op] [--rounds 5] [--ways 10,60,500] [--threads 1,2]

Each round runs every case once, so that all meet the same machine; the figure of a case is the
median over the rounds of its median times, of --repeats steps, of more where steps are short. Close
other programs first.

The last column is what the machine itself gives: how many times the work of one program as many
programs do that run at once, of one thread each and without a word between them. Processors that
share a core, or memory, give less than their number.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def start(program, workload, way, threads, repeats):
    command = [program, "bench", "step", "--workload", workload, "--way", str(way),
               "--threads", str(threads), "--repeats", str(repeats), "--json", "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process):
    output, errors = process.communicate()
    if process.returncode != 0:
        sys.exit(f"scaling.py: {' '.join(map(str, process.args))} failed:\n{errors}")
    return json.loads(output)


def measure(*case):
    return result_of(start(*case))


def measure_copies(program, workload, way, copies, repeats):
    """The median time of a step in `copies` programs of one thread that run at once."""
    processes = [start(program, workload, way, 1, repeats) for _ in range(copies)]
    return statistics.mean(result_of(process)["median_ms"] for process in processes)


def repeats_of(arguments, way):
    """As many steps of few classes as take the time of --repeats steps of 60."""
    return arguments.repeats * max(1, 60 // way)


def numbers(text):
    return [int(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", choices=["O", "Op", "M"], default="Op")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--ways", type=numbers, default=[10, 60, 500])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--protolith", default=HERE.parent.parent / "build/release/protolith")
    arguments = parser.parse_args()

    cases = [(way, threads) for way in arguments.ways for threads in arguments.threads]
    times = {case: [] for case in cases}
    copies = {case: [] for case in cases}
    images = {}
    for _ in range(arguments.rounds):
        for way, threads in cases:
            case = (arguments.protolith, arguments.workload, way, threads,
                    repeats_of(arguments, way))
            result = measure(*case)
            times[way, threads].append(result["median_ms"])
            # A copy alone, of one thread, is the case itself.
            copies[way, threads].append(
                result["median_ms"] if threads == 1 else measure_copies(*case))
            images[way] = result["images"]

    print(f"step {arguments.workload}, {arguments.rounds} rounds: {result['device']}")
    print(f"{'images':>8}{'threads':>9}{'median ms':>11}{'us an image':>13}{'speed-up':>10}"
          f"{'of copies':>11}")
    for way, threads in cases:
        median = statistics.median(times[way, threads])
        alone = statistics.median(times[way, arguments.threads[0]])
        one_copy = statistics.median(copies[way, arguments.threads[0]])
        speed_up = threads / arguments.threads[0] * one_copy / statistics.median(copies[way, threads])
        print(f"{images[way]:8}{threads:9}{median:11.1f}{1e3 * median / images[way]:13.1f}"
              f"{alone / median:10.2f}{speed_up:11.2f}")


if __name__ == "__main__":
    main()
