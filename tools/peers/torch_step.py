#!/usr/bin/python3
"""The peer of `protolith bench`: the same workloads in eager PyTorch (Debian's python3-torch).

    torch_step.py step|eval --workload O|Op|M [--threads N] [--repeats N] [--optimize]

Prints one JSON object with the keys of `protolith bench --json`. Activations and filters are
channels_last, PyTorch's faster layout on CPUs. For its best setting, run it with
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184, so that freed memory is used again.
"""
import argparse
import json
import resource
import time

import torch
from torch import nn
from torch.nn import functional

# side, channels, training (way, shot, query), evaluation (way, shot, query), last pool
WORKLOADS = {
    "O": (28, 1, (60, 1, 5), (20, 1, 5), True),
    "Op": (28, 1, (60, 1, 5), (20, 1, 5), False),
    "M": (84, 3, (30, 1, 15), (5, 1, 15), True),
}


def encoder(channels, last_pool):
    layers = []
    for block in range(4):
        layers += [nn.Conv2d(channels, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
        if block < 3 or last_pool:
            layers.append(nn.MaxPool2d(2))
        channels = 64
    return nn.Sequential(*layers, nn.Flatten())


def logits(embeddings, way, shot):
    prototypes = embeddings[: way * shot].view(way, shot, -1).mean(1)
    queries = embeddings[way * shot :]
    return -(
        queries.square().sum(1, keepdim=True)
        - 2 * queries @ prototypes.t()
        + prototypes.square().sum(1)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["step", "eval"])
    parser.add_argument("--workload", choices=WORKLOADS, default="Op")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--optimize", action="store_true",
                        help="eval: the encoder traced, by torch.jit.optimize_for_inference")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    side, channels, training, evaluation, last_pool = WORKLOADS[arguments.workload]
    way, shot, query = training if arguments.what == "step" else evaluation
    model = encoder(channels, last_pool).to(memory_format=torch.channels_last)
    images = torch.rand(way * (shot + query), channels, side, side)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(way).repeat_interleave(query)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(logits(model(images), way, shot), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def evaluate():
        with torch.no_grad():
            return (logits(model(images), way, shot).argmax(1) == labels).float().mean().item()

    if arguments.what == "eval":
        model.eval()
        if arguments.optimize:
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, images))
    call = step if arguments.what == "step" else evaluate
    milliseconds = []
    for i in range(arguments.warm + arguments.repeats):
        start = time.perf_counter()
        call()
        if i >= arguments.warm:
            milliseconds.append(1e3 * (time.perf_counter() - start))
    milliseconds.sort()
    print(
        json.dumps(
            {
                "what": arguments.what,
                "workload": arguments.workload,
                "device": f"PyTorch {torch.__version__}, {arguments.threads} threads",
                "repeats": arguments.repeats,
                "median_ms": milliseconds[len(milliseconds) // 2],
                "min_ms": milliseconds[0],
                "max_ms": milliseconds[-1],
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
