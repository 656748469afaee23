#!/usr/bin/env python3
"""How a training step's time grows with the images of a batch, and falls with threads.

    tools/peers/scaling.py [--workload Op] [--rounds 5] [--ways 10,60,500] [--threads 1,2]

Each round runs every case once, so that all meet the same machine; the figure of a case is the
median over the rounds of its median times. Close other programs first.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def measure(program, workload, way, threads, repeats):
    command = [program, "bench", "step", "--workload", workload, "--way", str(way),
               "--threads", str(threads), "--repeats", str(repeats), "--json", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"scaling.py: {' '.join(map(str, command))} failed:\n{result.stderr}")
    return json.loads(result.stdout)


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
    images = {}
    for _ in range(arguments.rounds):
        for way, threads in cases:
            result = measure(arguments.protolith, arguments.workload, way, threads,
                             arguments.repeats)
            times[way, threads].append(result["median_ms"])
            images[way] = result["images"]

    print(f"step {arguments.workload}, {arguments.rounds} rounds: {result['device']}")
    print(f"{'images':>8}{'threads':>9}{'median ms':>11}{'us an image':>13}{'speed-up':>10}")
    for way, threads in cases:
        median = statistics.median(times[way, threads])
        alone = statistics.median(times[way, arguments.threads[0]])
        print(f"{images[way]:8}{threads:9}{median:11.1f}{1e3 * median / images[way]:13.1f}"
              f"{alone / median:10.2f}")


if __name__ == "__main__":
    main()
