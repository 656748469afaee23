#!/usr/bin/env python3
"""Runs exported encoders with onnxruntime and compares their embeddings with the program's.

    tests/interop/onnx_runtime.py PROGRAM CHECKPOINT...

The images are pictures at the model's size, drawn here, so that their preparation leaves the pixels
as they are; for a model of drawings they are black on white. Exits with 77 without the packages
onnx, onnxruntime and numpy.
"""
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

try:
    import numpy
    import onnx
    import onnxruntime
except ImportError as error:
    print(f"skipped: {error}; PROTOLITH_ONNX_PYTHON names a Python that has onnx and onnxruntime")
    sys.exit(77)

from png import pictures, write_png

COUNT = 5


def drawings(side):
    """Omniglot's size, strokes black on white; the network sees every 3.75th pixel, ink 255."""
    paper = numpy.full((COUNT, 105, 105, 1), 255, numpy.uint8)
    generator = random.Random(7)
    for image in paper:
        for _ in range(4):
            row, column = generator.randrange(20, 70), generator.randrange(20, 70)
            image[row:row + 6, column:column + 30] = 0
            image[row:row + 30, column:column + 6] = 0
    index = ((numpy.arange(side) + 0.5) * 105 / side).astype(int)
    return paper, 255 - paper[:, index][:, :, index]


def check(program, checkpoint, folder):
    model_file = os.path.join(folder, "encoder.onnx")
    subprocess.run([program, "export", "--model", checkpoint, "--out", model_file], check=True,
                   stdout=subprocess.DEVNULL)
    model = onnx.load(model_file)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}

    session = onnxruntime.InferenceSession(model_file, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    _, channels, side, _ = given.shape
    if "drawing" in metadata["preparation"]:
        files, pixels = drawings(side)
    else:
        files = pixels = pictures(side, channels, COUNT)
    images = os.path.join(folder, "images")
    os.makedirs(images, exist_ok=True)
    for i, picture in enumerate(files):
        write_png(os.path.join(images, f"{i}.png"), picture)
    scale = numpy.array(metadata["pixel_scale"].split(), numpy.float32)
    shift = numpy.array(metadata["pixel_shift"].split(), numpy.float32)
    x = (pixels * scale + shift).astype(numpy.float32).transpose(0, 3, 1, 2)
    (embeddings,) = session.run(None, {"images": x})

    array = os.path.join(folder, "embeddings.npy")
    subprocess.run([program, "embed", "--model", checkpoint, "--images", images, "--out", array,
                    "--device", "cpu", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    ours = numpy.load(array)
    assert ours.shape == embeddings.shape, f"{ours.shape} and {embeddings.shape}"
    assert numpy.abs(ours).max() > 0.1, "the embeddings are all but 0"
    error = numpy.linalg.norm(ours - embeddings) / numpy.linalg.norm(embeddings)
    print(f"{os.path.basename(checkpoint)}: {COUNT} images, {ours.shape[1]} features, "
          f"relative error {error:.1e} against onnxruntime {onnxruntime.__version__}")
    assert error <= 3e-5  # four blocks; Winograd's rounding is up to 8e-6 of a block's output


def main():
    program, checkpoints = sys.argv[1], sys.argv[2:]
    for checkpoint in checkpoints:
        with tempfile.TemporaryDirectory() as folder:
            check(program, checkpoint, folder)


if __name__ == "__main__":
    main()
