#!/usr/bin/env python3
"""Takes away disk space, the right to write, memory and the data while the program works.

    tests/limits.py PROGRAM

Each case demands the right exit code and a message that names the file and the remedy, and where the cause
is gone, that training continues to the files of an undisturbed run. A full disk and one that cannot
be written are small file systems in memory: without the right to mount them (root has it, but in few
containers) these are skipped, and it says so. Prints a line for each case; exits with 1 when one fails.
"""
import filecmp
import os
import resource
import struct
import subprocess
import sys
import tempfile
import zlib

OPTIONS = ["--preset", "demo", "--metric", "lsed", "--train-way", "5", "--train-query", "3",
           "--val-way", "5", "--val-query", "2", "--val-episodes", "4", "--epoch-episodes", "3",
           "--patience", "1000", "--device", "cpu", "--threads", "1", "--quiet"]


class Failed(Exception):
    pass


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *arguments, address_space=None, environment=None):
        def limit():
            if address_space is not None:
                resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

        return subprocess.run([self.path, *arguments], capture_output=True, text=True, timeout=300,
                              preexec_fn=limit, env={**os.environ, **(environment or {})})

    def succeeds(self, *arguments, **options):
        result = self.run(*arguments, **options)
        if result.returncode != 0:
            raise Failed(f"{' '.join(arguments)} ended with {result.returncode}: {result.stderr}")
        return result

    def fails(self, *arguments, saying, code=1, **options):
        result = self.run(*arguments, **options)
        missing = [text for text in saying if text not in result.stderr]
        if result.returncode != code or missing:
            raise Failed(f"{' '.join(arguments)} ended with {result.returncode}, and its message "
                         f"lacks {missing}: {result.stderr}")


def same_files(one, other):
    for name in ("best.safetensors", "last.safetensors"):
        if not filecmp.cmp(os.path.join(one, name), os.path.join(other, name), shallow=False):
            raise Failed(f"{one} and {other}: {name} differs")


class SmallDisk:
    """A file system in memory."""

    def __init__(self, folder, size):
        self.folder = folder
        os.mkdir(folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.folder], check=True)

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.folder], check=True)


def may_mount():
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with SmallDisk(os.path.join(scratch, "disk"), "1m"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


def full_disk(program, scratch):
    undisturbed = os.path.join(scratch, "undisturbed")
    program.succeeds("train", *OPTIONS, "--episodes", "30", "--out", undisturbed)
    with SmallDisk(os.path.join(scratch, "full"), "2m") as disk:
        run = os.path.join(disk.folder, "run")
        program.fails("train", *OPTIONS, "--episodes", "30", "--out", run,
                      saying=["No space left on device", run, "free some space"])
        disk.remount("size=20m")
        program.succeeds("train", "--resume", run, "--quiet")
        same_files(undisturbed, run)


def read_only_disk(program, scratch):
    with SmallDisk(os.path.join(scratch, "read-only"), "20m") as disk:
        run = os.path.join(disk.folder, "run")
        program.succeeds("train", *OPTIONS, "--episodes", "6", "--out", run)
        disk.remount("ro")
        program.fails("train", "--resume", run, "--episodes", "9", "--quiet",
                      saying=["Read-only file system", run])
        program.fails("train", *OPTIONS, "--out", os.path.join(disk.folder, "new"),
                      saying=["Read-only file system", "--out"])
        program.succeeds("eval", run, "--episodes", "5", "--quiet")
        disk.remount("rw")
        program.succeeds("train", "--resume", run, "--episodes", "9", "--quiet")


def little_memory(program, scratch):
    """Under 'ulimit -v' a step of miniImageNet's size is refused, and a small one is as ever."""
    for megabytes in (450, 700, 1000, 1500):
        program.fails("bench", "step", "--workload", "M", "--warm", "0", "--repeats", "1",
                      "--device", "cpu", "--threads", "1", saying=["ulimit -v"], address_space=megabytes << 20)
    undisturbed, run = os.path.join(scratch, "roomy"), os.path.join(scratch, "tight")
    program.succeeds("train", *OPTIONS, "--episodes", "6", "--out", undisturbed)
    program.succeeds("train", *OPTIONS, "--episodes", "6", "--out", run, address_space=1 << 30)
    same_files(undisturbed, run)


def write_image(path, shade):
    """A grey PNG of 32x32 pixels with a darker square."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes(shade if 8 < x < 20 + y // 4 else 255 for x in range(32))
                    for y in range(32))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0))
                   + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def changed_data(program, scratch):
    """The cache of a data set is not used once the data is another, nor does a run go on with it."""
    data, run = os.path.join(scratch, "data"), os.path.join(scratch, "run")
    cache = {"PROTOLITH_CACHE": os.path.join(scratch, "cache")}
    for label in range(12):
        os.makedirs(os.path.join(data, f"class{label}"))
        for image in range(6):
            write_image(os.path.join(data, f"class{label}", f"{image}.png"), 20 * label + image)
    options = ["--data", f"folder:{data}", "--train-way", "2", "--train-query", "2", "--train-shot",
               "1", "--val-way", "2", "--val-query", "2", "--val-episodes", "2", "--epoch-episodes",
               "2", "--device", "cpu", "--threads", "1", "--quiet"]
    program.succeeds("train", *options, "--episodes", "2", "--out", run, environment=cache)
    program.succeeds("train", "--resume", run, "--episodes", "4", "--quiet", environment=cache)
    changed = os.path.join(data, "class0", "0.png")
    before = os.stat(changed)
    write_image(changed, 250)
    # Of the same size, a nanosecond younger.
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    program.fails("train", "--resume", run, "--episodes", "6", "--quiet",
                  saying=["trained with other settings", "data"], code=2, environment=cache)
    os.remove(changed)
    program.fails("train", "--resume", run, "--episodes", "6", "--quiet",
                  saying=["trained with other settings", "data"], code=2, environment=cache)


def main():
    program = Program(os.path.abspath(sys.argv[1]))
    can_mount = may_mount()
    failed = 0
    for case, mounts in ((full_disk, True), (read_only_disk, True), (little_memory, False),
                         (changed_data, False)):
        name = case.__name__.replace("_", " ")
        if mounts and not can_mount:
            print(f"skipped  {name}: small file systems cannot be mounted here")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                case(program, scratch)
                print(f"passed   {name}")
            except (Failed, subprocess.SubprocessError) as failure:
                failed += 1
                print(f"FAILED   {name}: {failure}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
