#!/usr/bin/env python3
"""Writes the golden files that tests/models/golden_test.cpp compares with, from PyTorch.

Run with Python 3 and PyTorch (Debian 12: /usr/bin/python3, python3-torch 1.13.1) in any folder:

    python3 tests/goldens/make_goldens.py

Everything is deterministic: pictures and parameters come from Python's Mersenne Twister, no data
set is read. Values are computed in float64 and stored as F32 (rounding 6e-8); beside METRIC.X.KEY
stands METRIC.X_error.KEY, the relative 2-norm error that PyTorch's own float32 run makes.

parameters.safetensors      initial conv4 (no convolution bias, last pool off, gamma ~ U(0,1))
episode_5way.safetensors    5-way 1-shot 3-query, SED and LSED(0, 0.01), three Adam steps
episode_60way.safetensors   60-way 1-shot 5-query, the same, without Adam steps

Tensors of an episode file (METRIC is sed or lsed, KEY a parameter's name):
images            U8 [N, 98], 28 x 28 bits a row, first pixel in the highest bit, 1 = stroke = 1.0;
                  supports of class 0, 1, ..., then queries of class 0, 1, ...
distances         F32 [queries, way], d_EUC
KEY               running statistics after one training forward pass
METRIC.loss       F32 [1], mean over the queries; METRIC.losses F32 [3], before Adam step 1, 2, 3
METRIC.gradient.KEY   every METRIC.stride-th element, in the tensor's own (OIHW) order
METRIC.stepN.KEY      the same of the change of the parameters by Adam steps 1 to N (lr 1e-3)
stride.METRIC.gradient, stride.step   F32 [1]; small tensors (up to 1024 elements) are whole
"""

import json
import pathlib
import random
import struct

import torch
import torch.nn.functional as F

SIZE = 28
WHOLE = 1024  # tensors up to this many elements are never sampled
KEYS = [f"encoder.{i}.{part}" for i in range(4) for part in ("0.weight", "1.weight", "1.bias")]
METRICS = {"sed": 1.0, "lsed": 0.01}  # the slope; the threshold is 0


def write_safetensors(path, tensors, metadata):
    """tensors: name -> (dtype, shape, bytes)."""
    header, offset = {"__metadata__": metadata}, 0
    for name, (dtype, shape, data) in sorted(tensors.items()):
        end = offset + len(data)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, (_, _, data) in sorted(tensors.items()):
            file.write(data)
    print(f"{path.name}: {path.stat().st_size} bytes")


def f32(tensor):
    tensor = tensor.detach().to(torch.float32).contiguous()
    shape = list(tensor.shape) or [1]
    return ("F32", shape, struct.pack(f"<{tensor.numel()}f", *tensor.reshape(-1).tolist()))


def draw_picture(strokes, jitter, rng):
    """One 28 x 28 bitmap: a class's strokes, corners moved by up to `jitter`, 2 pixels wide."""
    picture = [[0] * SIZE for _ in range(SIZE)]
    for stroke in strokes:
        corners = [(y + rng.uniform(-jitter, jitter), x + rng.uniform(-jitter, jitter))
                   for y, x in stroke]
        for (y0, x0), (y1, x1) in zip(corners, corners[1:]):
            for t in range(41):
                y, x = y0 + (y1 - y0) * t / 40, x0 + (x1 - x0) * t / 40
                for dy in (0, 1):
                    for dx in (0, 1):
                        row = min(max(int(y) + dy, 0), SIZE - 1)
                        picture[row][min(max(int(x) + dx, 0), SIZE - 1)] = 1
    return picture


def draw_episode(way, shot, query, jitter, seed):
    """Bitmaps [way * (shot + query), 28, 28]: supports class by class, then queries."""
    rng = random.Random(seed)
    supports, queries = [], []
    for _ in range(way):
        strokes = [[(rng.uniform(3, 24), rng.uniform(3, 24)) for _ in range(rng.randint(2, 4))]
                   for _ in range(rng.randint(2, 4))]
        supports += [draw_picture(strokes, jitter, rng) for _ in range(shot)]
        queries += [draw_picture(strokes, jitter, rng) for _ in range(query)]
    return supports + queries


def pack_bits(pictures):
    data = bytearray()
    for picture in pictures:
        bits = [bit for row in picture for bit in row]
        for i in range(0, len(bits), 8):
            data.append(sum(bit << (7 - k) for k, bit in enumerate(bits[i:i + 8])))
    return ("U8", [len(pictures), SIZE * SIZE // 8], bytes(data))


def initial_parameters(seed):
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), gamma ~ U(0,1), beta = 0, all exact in float32."""
    rng = random.Random(seed)

    def uniform(low, high, shape):
        count = torch.Size(shape).numel()
        values = torch.tensor([rng.uniform(low, high) for _ in range(count)], dtype=torch.float64)
        return values.to(torch.float32).to(torch.float64).reshape(shape)

    parameters = {}
    for i in range(4):
        channels = 1 if i == 0 else 64
        bound = (channels * 9) ** -0.5
        parameters[f"encoder.{i}.0.weight"] = uniform(-bound, bound, [64, channels, 3, 3])
        parameters[f"encoder.{i}.1.weight"] = uniform(0, 1, [64])
        parameters[f"encoder.{i}.1.bias"] = torch.zeros(64, dtype=torch.float64)
    return parameters


def forward(x, parameters, running, way, shot, slope):
    """d_EUC and the mean loss of an episode; updates `running` when given."""
    for i in range(4):
        mean = running[f"encoder.{i}.1.running_mean"] if running else None
        variance = running[f"encoder.{i}.1.running_var"] if running else None
        x = F.conv2d(x, parameters[f"encoder.{i}.0.weight"], padding=1)
        x = F.batch_norm(x, mean, variance, parameters[f"encoder.{i}.1.weight"],
                         parameters[f"encoder.{i}.1.bias"], True, 0.1, 1e-5)
        x = F.relu(x)
        if i < 3:
            x = F.max_pool2d(x, 2)
    embedding = x.flatten(1)
    prototypes = embedding[:way * shot].reshape(way, shot, -1).mean(1)
    queries = embedding[way * shot:]
    distances = ((queries ** 2).sum(1, keepdim=True) + (prototypes ** 2).sum(1)
                 - 2 * queries @ prototypes.T).clamp(min=0)
    labels = torch.arange(way).repeat_interleave(len(queries) // way)
    return distances, F.cross_entropy(-slope * distances, labels)


def run(pictures, initial, dtype, way, shot, slope, steps):
    """Name -> tensor: one training step's results and, after `steps` Adam steps, the changes."""
    x = torch.tensor(pictures, dtype=dtype).unsqueeze(1)
    parameters = {key: value.clone().to(dtype).requires_grad_() for key, value in initial.items()}
    running = {}
    for i in range(4):
        running[f"encoder.{i}.1.running_mean"] = torch.zeros(64, dtype=dtype)
        running[f"encoder.{i}.1.running_var"] = torch.ones(64, dtype=dtype)
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-3)
    results, losses = {}, []
    for step in range(max(steps, 1)):
        optimizer.zero_grad()
        distances, loss = forward(x, parameters, running if step == 0 else None, way, shot, slope)
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            results["distances"] = distances.detach()
            results["loss"] = loss.detach()
            for key in KEYS:
                results[f"gradient.{key}"] = parameters[key].grad.clone()
        if steps:
            optimizer.step()
            for key in KEYS:
                change = parameters[key].detach() - initial[key].to(dtype)
                results[f"step{step + 1}.{key}"] = change
    results.update({key: value.clone() for key, value in running.items()})
    if steps:
        results["losses"] = torch.stack(losses)
    return results


def episode_tensors(pictures, initial, way, shot, steps, strides):
    tensors = {"images": pack_bits(pictures)}
    tensors["stride.step"] = f32(torch.tensor([float(strides["step"])]))
    for metric, slope in METRICS.items():
        tensors[f"stride.{metric}.gradient"] = f32(torch.tensor([float(strides[metric])]))
        exact = run(pictures, initial, torch.float64, way, shot, slope, steps)
        single = run(pictures, initial, torch.float32, way, shot, slope, steps)
        for name, value in exact.items():
            error = (single[name].double() - value).norm() / value.norm()
            kind, _, key = name.partition(".")
            if kind == "gradient" or kind.startswith("step"):
                stride = strides[metric] if kind == "gradient" else strides["step"]
                stride = 1 if value.numel() <= WHOLE else stride
                tensors[f"{metric}.{name}"] = f32(value.reshape(-1)[::stride])
                tensors[f"{metric}.{kind}_error.{key}"] = f32(error)
                print(f"  {metric}.{name}: float32 error {error:.2e}")
            elif kind in ("loss", "losses"):
                tensors[f"{metric}.{name}"] = f32(value)
                print(f"  {metric}.{name}: {value.tolist()}, float32 error {error:.2e}")
            else:  # distances and running statistics do not depend on the metric
                tensors[name] = f32(value)
    return tensors


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(__file__).resolve().parent
    initial = initial_parameters(seed=1)
    checkpoint = {key: f32(value) for key, value in initial.items()}
    for i in range(4):
        checkpoint[f"encoder.{i}.1.running_mean"] = f32(torch.zeros(64))
        checkpoint[f"encoder.{i}.1.running_var"] = f32(torch.ones(64))
    about = {"made_by": f"make_goldens.py, PyTorch {torch.__version__}"}
    write_safetensors(folder / "parameters.safetensors", checkpoint, about)
    small = episode_tensors(draw_episode(5, 1, 3, 6, seed=2), initial, 5, 1, 3,
                            {"sed": 1, "lsed": 5, "step": 37})
    write_safetensors(folder / "episode_5way.safetensors", small, about)
    large = episode_tensors(draw_episode(60, 1, 5, 1.5, seed=3), initial, 60, 1, 0,
                            {"sed": 5, "lsed": 5, "step": 37})
    write_safetensors(folder / "episode_60way.safetensors", large, about)


if __name__ == "__main__":
    main()
