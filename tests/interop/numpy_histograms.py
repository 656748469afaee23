#!/usr/bin/env python3
"""numpy reads what `protolith grad-hist` wrote and finds the same histograms and figures.

    tests/interop/numpy_histograms.py PROTOLITH

Exits with 77, which CTest takes as skipped, where numpy is missing.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("skipped: numpy is not installed (apt-get install python3-numpy)")
    sys.exit(77)


def check(condition, what):
    if not condition:
        sys.exit(f"FAILED: {what}")


def check_record(folder, counts, summary):
    def load(name):
        return np.load(folder / f"{name}.npy")

    gradients = np.abs(load("softmax_gradient").astype(np.float64))
    pairs = {
        "log_gradient_softmax": (gradients, "magnitude_edges"),
        "log_gradient_euclidean": (np.abs(load("gradient").astype(np.float64)), "magnitude_edges"),
        "distance_softmax": (load("softmax_distance").astype(np.float64), "edges"),
        "distance_euclidean": (load("distance").astype(np.float64), "edges"),
    }
    for name, (values, key) in pairs.items():
        edges = np.array(counts[name][key], dtype=np.float32).astype(np.float64)
        recounted, _ = np.histogram(values, bins=edges)
        check(recounted.tolist() == counts[name]["counts"], f"{folder}: counts of {name}")
    want = {
        "share_below_1e-5": np.mean(gradients < 1e-5),
        "share_inside": np.mean((gradients > 1e-3) & (gradients < 1 - 1e-3)),
        "gradient_median": np.median(gradients),
        "distance_max": load("distance").max(),
        "distance_median": np.median(load("distance").astype(np.float64)),
    }
    labels = load("labels")
    p = (np.arange(gradients.shape[1]) == labels[:, None]) - load("softmax_gradient").astype(float)
    entropy = -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=1).mean()
    check(abs(summary["entropy"] - entropy) < 1e-9, f"{folder}: entropy")
    for key, value in want.items():
        check(abs(summary[key] - value) <= 1e-12 * abs(value), f"{folder}: {key}")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "out"
        command = [sys.argv[1], "grad-hist", "--preset", "demo", "--metric", "sed,lsed:0:0.01"]
        command += ["--at", "0,2", "--threads", "1", "--quiet", "--json", "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        check(done.returncode == 0, done.stderr)
        results = json.loads(done.stdout)["results"]
        counts = json.loads((out / "histograms.json").read_text())
        check(len(counts) == len(results) == 4, f"{len(counts)} and {len(results)} records, not 4")
        for record, summary in zip(counts, results):
            name = record["metric"].replace(":", "-")
            check_record(out / name / f"iteration-{record['iteration']}", record, summary)
        print(f"numpy {np.__version__} agrees on {len(counts)} records")


main()
