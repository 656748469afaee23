#!/usr/bin/python3
"""Moves models both ways between the program and the reference model in PyTorch.

    tests/interop/pytorch_state_dict.py PROGRAM CHECKPOINT

From PyTorch: a reference model with random weights, convolution biases and running statistics is
saved as safetensors, as `save_file(model.state_dict(), path)` does; the program embeds images with
it. To PyTorch: CHECKPOINT is loaded with strict=True. Both must give the embeddings that PyTorch
gives. Exits with 77 without PyTorch.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "goldens"), str(HERE)]
sys.dont_write_bytecode = True

try:
    import numpy
    import torch
except ImportError as error:
    print(f"skipped: {error}; third_party/install.sh --peers installs python3-torch")
    sys.exit(77)

from load_checkpoint import ProtoNet, read_safetensors
from png import pictures, write_png

MEAN = numpy.array([0.485, 0.456, 0.406])  # ImageNet's, of RGB in 0 ... 1
DEVIATION = numpy.array([0.229, 0.224, 0.225])


def save_safetensors(tensors, path, metadata=None):
    """What safetensors.torch.save_file writes."""
    types = {torch.float32: "F32", torch.int64: "I64"}
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, tensor in tensors.items():
        values = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": types[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def random_model(channels, last_pool=True):
    """As after training: nothing is 0 or 1, biases and running statistics included."""
    torch.manual_seed(3)
    model = ProtoNet(channels, 64, last_pool)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_var", "1.weight")):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("bias", "running_mean")):
            tensor.normal_(0, 0.5)
    return model


def compare(program, checkpoint, model, channels, what):
    """The program's embeddings of pictures by `checkpoint` beside those of the PyTorch model."""
    pixels = pictures({1: 28, 3: 84}[channels], channels)  # what a bare state_dict is taken for
    with tempfile.TemporaryDirectory() as folder:
        for i, picture in enumerate(pixels):
            write_png(os.path.join(folder, f"{i}.png"), picture)
        array = os.path.join(folder, "embeddings.npy")
        subprocess.run([program, "embed", "--model", checkpoint, "--images", folder, "--out", array,
                        "--device", "cpu", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        ours = numpy.load(array)
    x = (pixels / 255 - MEAN) / DEVIATION if channels == 3 else pixels / 255
    with torch.no_grad():
        theirs = model.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2)).float()).numpy()
    assert ours.shape == theirs.shape, f"{ours.shape} and {theirs.shape}"
    error = numpy.linalg.norm(ours - theirs) / numpy.linalg.norm(theirs)
    print(f"{what}: {len(pixels)} images of {channels} channels, {ours.shape[1]} features, relative "
          f"error {error:.1e} against PyTorch {torch.__version__}")
    assert numpy.abs(theirs).max() > 0.1, "the embeddings are all but 0"
    assert error <= 3e-5  # four blocks; Winograd's rounding is up to 8e-6 of a block's output


def main():
    program, checkpoint = sys.argv[1:]
    for channels in (1, 3):
        model = random_model(channels)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "state_dict.safetensors")
            save_safetensors(model.state_dict(), path)
            compare(program, path, model, channels, "state_dict read by the program")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "described.safetensors")
        model = random_model(1, last_pool=False)
        info = {"encoder": {"name": "conv4", "channels": 1, "filters": 64, "height": 28,
                            "width": 28, "last_pool": False},
                "metric": "lsed:0:0.01", "distance": "gemm", "preprocessing": ""}
        save_safetensors(model.state_dict(), path,
                         {"format_version": "1", "protolith": json.dumps(info)})
        compare(program, path, model, 1, "state_dict with metadata, without the last pool")
    tensors, metadata = read_safetensors(checkpoint)
    encoder = json.loads(metadata["protolith"])["encoder"]
    model = ProtoNet(encoder["channels"], encoder["filters"], encoder["last_pool"])
    model.load_state_dict(tensors, strict=True)
    compare(program, checkpoint, model, encoder["channels"], "checkpoint read by PyTorch")


if __name__ == "__main__":
    main()
