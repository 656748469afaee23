"""Pictures whose preparation leaves every pixel as it is, and PNG files of them."""
import struct
import zlib

import numpy


def write_png(path, pixels):
    """pixels: u8 [height, width, channels], grey or RGB."""
    height, width, channels = pixels.shape

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                   + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def pictures(side, channels, count=5):
    """u8 [count, side, side, channels] of random coloured squares."""
    generator = numpy.random.default_rng(7)
    small = generator.integers(0, 256, (count, side // 7, side // 7, channels))
    return small.repeat(7, axis=1).repeat(7, axis=2).astype(numpy.uint8)
