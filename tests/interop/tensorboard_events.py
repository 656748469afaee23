#!/usr/bin/env python3
"""Reads the program's event files with TensorBoard and compares them with metrics.jsonl.

    tests/interop/tensorboard_events.py PROGRAM SAMPLE    trains small runs; SAMPLE: write_sample_events
    tests/interop/tensorboard_events.py RUN               only compares the run folder RUN

Three readers of TensorBoard's see each folder: the event accumulator, the one behind the web page,
and the data server that the web page uses by default, where that is installed. Exits with 77
without the package tensorboard.
"""
import json
import logging
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

try:
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.backend.event_processing import plugin_event_accumulator
    from tensorboard.util import tensor_util
except ImportError as error:
    print(f"skipped: {error}; PROTOLITH_TENSORBOARD_PYTHON names a Python that has tensorboard")
    sys.exit(77)

EPOCHS = 3
EPOCH = 25
SMALL = (f"--preset demo --metric lsed --train-way 10 --train-query 5 --val-way 5 --val-query 2 "
         f"--val-episodes 5 --epoch-episodes {EPOCH} --patience 1000 --threads 1 --quiet").split()

SCALARS = {"train/loss": "train_loss", "train/accuracy": "train_accuracy",
           "train/learning_rate": "learning_rate", "val/loss": "val_loss",
           "val/accuracy": "val_accuracy"}
HISTOGRAM_SCALARS = {"gradient/share_below_1e-5": "share_below_1e-5",
                     "gradient/share_inside": "share_inside", "softmax/entropy": "entropy"}
HISTOGRAMS = {"gradient/log_abs": "log_gradient", "distance/softmax": "distance"}


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def expected_scalars(run):
    """{tag: [(step, value)]} by the run's own files."""
    expected = {}
    for name, step, tags in (("metrics.jsonl", "episodes", SCALARS),
                             ("histograms.jsonl", "episode", HISTOGRAM_SCALARS)):
        for line in read_lines(os.path.join(run, name)):
            for tag, key in tags.items():
                if key in line:
                    expected.setdefault(tag, []).append((line[step], f32(line[key])))
    return expected


def expected_histograms(run):
    """{tag: [(step, edges, counts)]}: with the bins below and above, as wide as their neighbours;
    from the first bin that holds something to the last."""
    expected = {}
    for line in read_lines(os.path.join(run, "histograms.jsonl")):
        for tag, key in HISTOGRAMS.items():
            bins = line[key]
            edges = [f32(edge) for edge in bins["edges"]]
            edges = [2 * edges[0] - edges[1], *edges, 2 * edges[-1] - edges[-2]]
            counts = [bins["below"], *bins["counts"], bins["above"]]
            held = [i for i, n in enumerate(counts) if n]
            edges, counts = ((edges[held[0]:held[-1] + 2], counts[held[0]:held[-1] + 1])
                             if held else ([], []))
            expected.setdefault(tag, []).append((line["episode"], edges, counts))
    return expected


def same(what, shown, expected):
    assert shown == expected, f"{what}:\n  TensorBoard {shown}\n  the run     {expected}"


def check_accumulator(accumulator, run):
    """The classic reader: values as they lie in the file."""
    tags = accumulator.Tags()
    shown = {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in tags["scalars"]}
    same("scalars", {tag: points for tag, points in shown.items() if points}, expected_scalars(run))
    expected = expected_histograms(run)
    same("histogram tags", sorted(tags["histograms"]), sorted(expected))
    for tag, histograms in expected.items():
        events = accumulator.Histograms(tag)
        same(tag, [e.step for e in events], [h[0] for h in histograms])
        for event, (_, edges, counts) in zip(events, histograms):
            value = event.histogram_value
            same(tag, list(value.bucket_limit), edges[1:])
            same(tag, list(value.bucket), counts)
            same(tag, value.num, sum(counts))
            middles = [(a + b) / 2 for a, b in zip(edges, edges[1:])]
            for power, total in ((1, value.sum), (2, value.sum_squares)):
                exact = sum(n * m**power for n, m in zip(counts, middles))
                assert abs(total - exact) <= 1e-12 * abs(exact), f"{tag}: {total}, not {exact}"
            same(tag, (value.min, value.max), (edges[0], edges[-1]) if edges else (0, 0))


def check_drawn(drawn, run):
    """What the web page draws: bins [left, right, count], in single precision."""
    expected = {tag: [(step, [[f32(left), f32(right), f32(count)]
                              for left, right, count in zip(edges, edges[1:], counts)])
                      for step, edges, counts in histograms]
                for tag, histograms in expected_histograms(run).items()}
    drawn = {tag: [(step, [[f32(x) for x in row] for row in rows]) for step, rows in points]
             for tag, points in drawn.items()}
    same("drawn histograms", drawn, expected)


def check_page(run):
    """The reader behind the web page with --load_fast=false."""
    guidance = {"tensors": 0}
    reader = plugin_event_accumulator.EventAccumulator(run, guidance, guidance).Reload()
    read = {"scalars": {}, "histograms": {}}
    for plugin, tags in read.items():
        if plugin not in reader.ActivePlugins():
            continue
        for tag in reader.PluginTagToContent(plugin):
            events = [(e.step, tensor_util.make_ndarray(e.tensor_proto).tolist())
                      for e in reader.Tensors(tag)]
            if events:
                tags[tag] = events
    same("page scalars", read["scalars"], expected_scalars(run))
    check_drawn(read["histograms"], run)


def check_server(folder):
    """The data server, over all runs below `folder` at once. Returns False where it is missing."""
    try:
        from tensorboard import context
        from tensorboard.data import server_ingester
        from tensorboard.util import grpc_util
        binary = server_ingester.get_server_binary()
    except (ImportError, RuntimeError) as error:
        print(f"without the data server: {error}")
        return False
    server = server_ingester.SubprocessServerDataIngester(
        server_binary=binary, logdir=folder, reload_interval=0,
        channel_creds_type=grpc_util.ChannelCredsType.LOCAL)
    server.start()
    provider, request = server.data_provider, context.RequestContext()
    read = {"downsample": 1000, "experiment_id": ""}
    scalars = provider.read_scalars(request, plugin_name="scalars", **read)
    histograms = provider.read_tensors(request, plugin_name="histograms", **read)
    for name in os.listdir(folder):
        run = os.path.join(folder, name)
        shown = {tag: [(p.step, p.value) for p in points] for tag, points in scalars[name].items()}
        same("server scalars", shown, expected_scalars(run))
        check_drawn({tag: [(p.step, p.numpy.tolist()) for p in points]
                     for tag, points in histograms.get(name, {}).items()}, run)
    return True


def accumulate(run):
    return event_accumulator.EventAccumulator(
        run, event_accumulator.STORE_EVERYTHING_SIZE_GUIDANCE).Reload()


def check_run(run):
    assert expected_scalars(run), f"{run} has no metrics"
    check_accumulator(accumulate(run), run)
    check_page(run)


def event_files(run):
    return sorted(os.path.join(run, name) for name in os.listdir(run) if "tfevents" in name)


def start_and_stop(command, run, lines, stop_by):
    """Sends the program `stop_by` once metrics.jsonl has `lines` lines. Returns its exit status."""
    metrics = os.path.join(run, "metrics.jsonl")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(read_lines_so_far(metrics)) < lines:
        time.sleep(0.001)
    if process.poll() is None:
        process.send_signal(stop_by)
    return process.wait(timeout=120)


def read_lines_so_far(path):
    try:
        with open(path, "rb") as file:
            return file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []


def train_with_troubles(program, run):
    """Three epochs: interrupted, killed with a record cut short and a checkpoint lost, resumed.

    A reader that watches from the first epoch on, as an open web page does, must end with the same
    as one that comes afterwards.
    """
    train = [program, "train", *SMALL, "--episodes", str(EPOCHS * EPOCH), "--out", run]
    resume = [program, "train", "--resume", run, "--quiet"]
    checkpoint = os.path.join(run, "last.safetensors")
    same("an interrupted run's exit code", start_and_stop(train, run, 1, signal.SIGINT), 130)
    watcher = accumulate(run)
    check_accumulator(watcher, run)
    same("files", len(event_files(run)), 1)
    older = checkpoint + ".older"
    shutil.copy(checkpoint, older)

    same("a killed run's status", start_and_stop(resume, run, 2, signal.SIGKILL), -signal.SIGKILL)
    # By when the line is on disk its events may not be: make sure that there are some to drop.
    subprocess.run([*resume, "--episodes", str(2 * EPOCH)], check=True, stdout=subprocess.DEVNULL)
    with open(event_files(run)[-1], "ab") as file:
        file.write(struct.pack("<Q", 100) + b"torn")
    watcher.Reload()
    same("steps before the loss", [e.step for e in watcher.Scalars("val/loss")], [EPOCH, 2 * EPOCH])
    os.replace(older, checkpoint)

    resumed_at = time.time()
    subprocess.run([*resume, "--episodes", str(EPOCHS * EPOCH)], check=True,
                   stdout=subprocess.DEVNULL)
    same("files", len(event_files(run)), 4)
    check_accumulator(watcher.Reload(), run)
    check_run(run)
    steps = [e.step for e in accumulate(run).Scalars("train/loss")]
    same("steps", steps, [EPOCH * epoch for epoch in range(1, EPOCHS + 1)])
    repeated = accumulate(run).Scalars("train/loss")[1]
    assert repeated.wall_time >= resumed_at, "the second epoch is the lost one, not the repeated one"


def main():
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of every restart
    if len(sys.argv) == 2:
        check_run(sys.argv[1])
        print(f"{sys.argv[1]}: TensorBoard shows what metrics.jsonl says")
        return
    program, sample = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="protolith_test_") as folder:
        runs = [os.path.join(folder, name) for name in ("troubled", "sample")]
        train_with_troubles(program, runs[0])
        os.mkdir(runs[1])
        subprocess.run([sample, runs[1]], check=True)
        check_run(runs[1])
        served = check_server(folder)
        points = sum(len(p) for run in runs for p in expected_scalars(run).values())
        histograms = sum(len(h) for run in runs for h in expected_histograms(run).values())
        print(f"TensorBoard reads {points} scalars and {histograms} histograms as written"
              f"{', by its data server too' if served else ''}")


if __name__ == "__main__":
    main()
