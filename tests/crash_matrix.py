#!/usr/bin/env python3
"""Kills training at random moments with SIGKILL and demands that nothing is lost.

    tests/crash_matrix.py PROGRAM [--kills 200] [--seed 1] [--folder DIR]

A run with a checkpoint every few episodes is killed at a moment drawn from its whole life, start-up
and the writing of checkpoints included, resumed, killed again, and at last left to end. Every resume
must succeed. What the run leaves must then be, byte for byte, what an undisturbed run leaves: both
checkpoints, the metrics (their times aside) and the histograms. Prints a line for each finished run;
exits with 1 at the first difference or failed resume, and says where the folder lies.
"""
import argparse
import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

EPISODES = 120
OPTIONS = ["--preset", "demo", "--metric", "lsed", "--train-way", "5", "--train-query", "3",
           "--val-way", "5", "--val-query", "2", "--val-episodes", "4", "--epoch-episodes", "3",
           "--patience", "1000", "--histogram-every", "2", "--threads", "1", "--quiet"]
TIMES = ("seconds", "peak_memory_mb")  # differ between any two runs


class Failed(Exception):
    pass


def train_command(program, folder, seed):
    if os.path.exists(os.path.join(folder, "config.toml")):
        return [program, "train", "--resume", folder, "--quiet"]
    return [program, "train", *OPTIONS, "--episodes", str(EPISODES), "--seed", str(seed),
            "--out", folder]


def finish(command):
    """Seconds that the command took to its end."""
    start = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr}")
    return time.monotonic() - start


def killed(command, after):
    """Whether the command was still running after so many seconds; it is then killed."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            code = process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True
        if code != 0:
            errors.seek(0)
            raise Failed(f"{' '.join(command)} ended with {code}:\n{errors.read().decode()}")
        return False


def lines_without_times(path):
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def compare(undisturbed, disturbed):
    for name in ("best.safetensors", "last.safetensors", "config.toml", "histograms.jsonl"):
        paths = os.path.join(undisturbed, name), os.path.join(disturbed, name)
        if not filecmp.cmp(*paths, shallow=False):
            raise Failed(f"{paths[0]} and {paths[1]} differ")
    if lines_without_times(os.path.join(undisturbed, "metrics.jsonl")) != lines_without_times(
            os.path.join(disturbed, "metrics.jsonl")):
        raise Failed(f"the metrics of {undisturbed} and {disturbed} differ")
    left = [name for name in os.listdir(disturbed) if name not in os.listdir(undisturbed)
            and not name.startswith("events.")]
    if left:
        raise Failed(f"{disturbed}: left behind: {', '.join(left)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="where runs go; kept (default: a temporary one)")
    arguments = parser.parse_args()
    folder = arguments.folder or tempfile.mkdtemp(prefix="protolith-crashes-")
    moments = random.Random(arguments.seed)
    kills, run = 0, 0
    try:
        while kills < arguments.kills:
            run += 1
            undisturbed = os.path.join(folder, f"undisturbed-{run}")
            disturbed = os.path.join(folder, f"disturbed-{run}")
            # A third of a run's life: a run is killed some ten times before it ends.
            life = finish(train_command(arguments.program, undisturbed, run)) / 3
            own = 0
            while kills < arguments.kills:
                if not killed(train_command(arguments.program, disturbed, run),
                              moments.uniform(0, life)):
                    break
                kills += 1
                own += 1
            else:
                finish(train_command(arguments.program, disturbed, run))
            compare(undisturbed, disturbed)
            print(f"run {run}: killed {own} times, the same files; {kills} of {arguments.kills}",
                  flush=True)
    except Failed as failure:
        print(f"FAILED after {kills} kills: {failure}\nthe runs are in {folder}", file=sys.stderr)
        return 1
    if not arguments.folder:
        shutil.rmtree(folder)
    print(f"{kills} kills, {run} runs: every resume succeeded, every run ended with the same files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
