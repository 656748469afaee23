#!/usr/bin/python3
"""Loads a protolith checkpoint into the reference model in PyTorch, as its users would.

    tests/goldens/load_checkpoint.py CHECKPOINT

load_state_dict(strict=True) must accept every tensor: no key may be missing or left over. Exits
with 77 without PyTorch.
"""
import json
import struct
import sys

try:
    import numpy
    import torch
    from torch import nn
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TYPES = {"F32": numpy.float32, "I64": numpy.int64, "I32": numpy.int32, "U8": numpy.uint8}


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).copy()
        tensors[name] = torch.from_numpy(values).reshape(entry["shape"])
    return tensors, metadata


class ProtoNet(nn.Module):
    """The reference implementation's encoder and its parameters' names."""

    def __init__(self, channels, filters, last_pool):
        super().__init__()
        blocks = []
        for i in range(4):
            layers = [nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
            if i < 3 or last_pool:
                layers.append(nn.MaxPool2d(2))
            blocks.append(nn.Sequential(*layers))
            channels = filters
        self.encoder = nn.Sequential(*blocks)

    def forward(self, images):
        return self.encoder(images).flatten(1)


def main():
    tensors, metadata = read_safetensors(sys.argv[1])
    encoder = json.loads(metadata["protolith"])["encoder"]
    model = ProtoNet(encoder["channels"], encoder["filters"], encoder["last_pool"])
    model.load_state_dict(tensors, strict=True)
    model.eval()
    images = torch.zeros(2, encoder["channels"], encoder["height"], encoder["width"])
    with torch.no_grad():
        embeddings = model(images)
    assert torch.isfinite(embeddings).all()
    print(f"loaded {len(tensors)} tensors; {embeddings.shape[1]} features")


if __name__ == "__main__":
    main()
