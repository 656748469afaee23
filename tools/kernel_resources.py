#!/usr/bin/env python3
"""What each CUDA kernel takes of a multiprocessor (SM), proven at compile time, without a GPU.

Reads what the build left: ptxas' resource reports of every object of kernels/cuda (-Xptxas=-v, kept
by tools/keep_ptxas_report.sh) and the kernels' PTX; and the sources, for the occupancy they claim:
a comment that says "Occupancy: at least N %" holds for the kernels whose __launch_bounds__ name one
of the constants declared right below it (of several such constants the last one counts), or, above
a kernel, for that kernel alone.

  --check        fails on a spill, local memory, too many registers or too much shared memory, an
                 occupancy that is missing or below its claim, a missing 16-byte access, or when
                 docs/kernels.md is not what --write would write
  --write FILE   writes the tables between the markers of FILE, unless there is another finding
"""

import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "kernels.md"
BEGIN = "<!-- tools/kernel_resources.py writes from here -->"
END = "<!-- to here -->"

WARP = 32
# Limits of every architecture here, and how an SM hands out registers: to a warp at a time, in units
# of 256, out of the quarter that belongs to one of its four partitions.
MAX_REGISTERS = 255  # of a thread
MAX_STATIC_SHARED = 48 << 10  # of a block
REGISTERS_PER_SM = 64 << 10
REGISTER_UNIT = 256
PARTITIONS = 4


@dataclasses.dataclass(frozen=True)
class Sm:
    """Limits of an SM: CUDA Programming Guide, "Compute Capabilities", technical specifications.

    Units of shared memory and the driver's share of it: the toolkit's cuda_occupancy.h; the shared
    memory is the most that an SM can be given, the rest being its L1 cache.
    """

    threads: int
    blocks: int
    shared: int  # bytes
    shared_unit: int = 128
    shared_reserved: int = 1024  # bytes of each block


ARCHITECTURES = {
    "sm_75": Sm(1024, 16, 64 << 10, shared_unit=256, shared_reserved=0),
    "sm_80": Sm(2048, 32, 164 << 10),
    "sm_86": Sm(1536, 16, 100 << 10),
    "sm_89": Sm(1536, 24, 100 << 10),
    "sm_90": Sm(2048, 32, 228 << 10),
    "sm_100": Sm(2048, 32, 228 << 10),
    "sm_120": Sm(1536, 24, 100 << 10),
}

# A kernel of width 4 reads and writes device memory by 16-byte accesses; these do one of the two, or
# their 4 is no width.
BOTH = ("loads", "stores")
EXCEPTIONS = {
    "both_squared_norms_kernel<4>": ("loads",),
    "direct_kernel<4>": ("loads",),
    "episode_gather_kernel<4>": ("stores",),
    "fill_kernel<4>": ("stores",),
    "global_kernel<4>": ("loads",),
    "shared_kernel<4>": ("loads",),
    "warp_rows_kernel<4>": (),
    "accumulate_kernel": BOTH,
}


def up(value, unit):
    return -(-value // unit) * unit


def blocks_per_sm(sm, threads, registers, shared):
    """Blocks that an SM holds at once."""
    warps = up(threads, WARP) // WARP
    partition_warps = REGISTERS_PER_SM // PARTITIONS // up(registers * WARP, REGISTER_UNIT)
    limits = [
        sm.blocks,
        sm.threads // (warps * WARP),
        partition_warps * PARTITIONS // warps,
    ]
    block_shared = up(shared + sm.shared_reserved, sm.shared_unit)
    if block_shared:
        limits.append(sm.shared // block_shared)
    return min(limits)


def occupancy(sm, threads, registers, shared):
    """Resident threads as a part of those that an SM can hold, in percent."""
    return 100 * blocks_per_sm(sm, threads, registers, shared) * up(threads, WARP) / sm.threads


@dataclasses.dataclass
class Usage:
    """What ptxas reports of one kernel on one architecture; all but registers in bytes."""

    registers: int = 0
    shared: int = 0
    stack: int = 0  # local memory
    spill_stores: int = 0
    spill_loads: int = 0


@dataclasses.dataclass
class Kernel:
    family: str
    name: str  # without namespaces and parameters: adam_kernel<4>
    usage: dict  # of each architecture's name
    threads: int  # 0: no __launch_bounds__
    wide: tuple  # which of its accesses to device memory come by 16 bytes
    claim: int  # percent; None: no comment claims one

    @property
    def label(self):
        return f"{self.family}.cu {self.name}"

    def occupancy(self, architecture):
        usage = self.usage[architecture]
        return occupancy(ARCHITECTURES[architecture], self.threads, usage.registers, usage.shared)


def by_name(kernel):
    """A sort key, by which <4> comes before <16>."""
    parts = re.split(r"(\d+)", kernel.name)
    return kernel.family, [int(part) if part.isdigit() else part for part in parts]


def short_names(mangled):
    """Readable names of mangled ones, in a dictionary."""
    mangled = sorted(mangled)
    demangled = subprocess.run(
        ["c++filt"], input="\n".join(mangled), capture_output=True, text=True, check=True
    ).stdout.splitlines()

    def shorten(name):
        name = name.replace("(anonymous namespace)::", "").partition("(")[0]
        return re.search(r"\w+(<[^<>]*>)?$", name).group()

    return {name: shorten(readable) for name, readable in zip(mangled, demangled, strict=True)}


def read_report(path):
    """{mangled name: {architecture: Usage}} of a ptxas report."""
    kernels = {}
    usage = None
    for line in path.read_text().splitlines():
        if entry := re.search(r"Compiling entry function '(\w+)' for '(sm_\d+)\w?'", line):
            usage = kernels.setdefault(entry[1], {})[entry[2]] = Usage()
        elif usage is None:
            continue
        elif frame := re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line
        ):
            usage.stack, usage.spill_stores, usage.spill_loads = map(int, frame.groups())
        elif used := re.search(r"Used (\d+) registers", line):
            usage.registers = int(used[1])
            if shared := re.search(r"(\d+) bytes smem", line):
                usage.shared = int(shared[1])
            usage = None
    return kernels


def read_ptx(path):
    """{mangled name: (threads of a block, 16-byte accesses)} of the kernels of a PTX file."""
    kernels = {}
    for text in re.split(r"\.entry\s+", path.read_text())[1:]:
        name = re.match(r"\w+", text)[0]
        threads = 0
        if bounds := re.search(r"\.maxntid\s+(\d+)(?:,\s*(\d+))?(?:,\s*(\d+))?", text):
            threads = int(bounds[1]) * int(bounds[2] or 1) * int(bounds[3] or 1)
        wide = tuple(
            kind
            for kind, opcode in (("loads", "ld"), ("stores", "st"))
            if re.search(rf"\b{opcode}\.global[.\w:]*\.(v4\.[bfsu]32|v2\.[bfsu]64|b128)\b", text)
        )
        kernels[name] = (threads, wide)
    return kernels


def compiler_of(path):
    """The release that wrote a PTX file, such as V13.0.88."""
    return re.search(r"Cuda compilation tools, .*(V[\d.]+)", path.read_text())[1]


COMMENT = r"(?P<comment>(?:[ \t]*//[^\n]*\n)+)"
CONSTANTS = re.compile(COMMENT + r"(?P<constants>(?:(?:inline )?constexpr [^\n]*\n)+)")
KERNEL = re.compile(
    rf"(?:{COMMENT})?(?:template <[^>]*>\n)?"
    r"__global__ void\s+__launch_bounds__\((?P<bounds>[^)]*)\)\s+(?P<name>\w+)\("
)


def claim_in(comment):
    words = re.sub(r"\s*//+\s*", " ", comment or "")
    claim = re.search(r"Occupancy: at least (\d+) %", words)
    return int(claim[1]) if claim else None


def constant_claims(source):
    """{constant: percent} of the constants of a source below a comment that claims an occupancy."""
    claims = {}
    for match in CONSTANTS.finditer(source):
        percent = claim_in(match["comment"])
        if percent is not None:
            for name in re.findall(r"constexpr .*?(\w+) =", match["constants"]):
                claims[name] = percent
    return claims


def kernel_claims(source, shared):
    """{kernel: percent} of a .cu file; `shared`: the headers' constant_claims()."""
    constants = shared | constant_claims(source)
    claims = {}
    for match in KERNEL.finditer(source):
        own = claim_in(match["comment"])
        named = [constants[n] for n in re.findall(r"\w+", match["bounds"]) if n in constants]
        claims[match["name"]] = own if own is not None else (named or [None])[-1]
    return claims


def read_kernels(build):
    """The kernels of all families, and the compiler that made them."""
    folder = ROOT / "kernels" / "cuda"
    objects = build / "kernels" / "CMakeFiles"
    shared = {}
    for header in sorted([*folder.glob("*.h"), *folder.glob("*.cuh")]):
        shared |= constant_claims(header.read_text())
    kernels = []
    compilers = set()
    for source in sorted(folder.glob("*.cu")):
        ptx_path = objects / "protolith_kernels_ptx.dir" / "cuda" / f"{source.stem}.ptx"
        claims = kernel_claims(source.read_text(), shared)
        usages = read_report(objects / "protolith_kernels_cuda.dir/cuda" / f"{source.name}.o.ptxas")
        ptx = read_ptx(ptx_path)
        compilers.add(compiler_of(ptx_path))
        names = short_names(usages.keys() | ptx.keys())
        # A name in an anonymous namespace is mangled differently for every way to compile it.
        bounds = {names[mangled]: found for mangled, found in ptx.items()}
        for mangled, usage in usages.items():
            name = names[mangled]
            if name not in bounds:
                sys.exit(f"{ptx_path} lacks {name}: build protolith_kernels_ptx")
            claim = claims.get(name.partition("<")[0])
            kernels.append(Kernel(source.stem, name, usage, *bounds[name], claim))
    return sorted(kernels, key=by_name), " ".join(sorted(compilers))


def wide_findings(kernels):
    for kernel in kernels:
        default = BOTH if kernel.name.endswith("<4>") else ()
        for kind in EXCEPTIONS.get(kernel.name, default):
            if kind not in kernel.wide:
                yield f"{kernel.label}: no 16-byte {kind} in its PTX"
    for name in EXCEPTIONS.keys() - {kernel.name for kernel in kernels}:
        yield f"{name}: listed in kernel_resources.py, but there is no such kernel"


def usage_findings(usage):
    limits = {
        "stack": (0, "bytes of stack frame in local memory"),
        "spill_stores": (0, "bytes of spill stores"),
        "spill_loads": (0, "bytes of spill loads"),
        "registers": (MAX_REGISTERS, "registers"),
        "shared": (MAX_STATIC_SHARED, "bytes of static shared memory"),
    }
    for field, (most, words) in limits.items():
        value = getattr(usage, field)
        if value > most:
            yield f"{value} {words}, may be {most}"


def findings(kernels):
    """What is wrong with the kernels, a line each."""
    for kernel in kernels:
        if not kernel.threads:
            yield f"{kernel.label}: no __launch_bounds__"
        if kernel.claim is None:
            yield f"{kernel.label}: no comment claims an occupancy (Occupancy: at least N %)"
        for architecture, usage in kernel.usage.items():
            place = f"{kernel.label}, {architecture}"
            if architecture not in ARCHITECTURES:
                yield f"{place}: limits unknown to kernel_resources.py"
                continue
            for finding in usage_findings(usage):
                yield f"{place}: {finding}"
            if kernel.threads and kernel.claim is not None:
                percent = kernel.occupancy(architecture)
                if percent < kernel.claim:
                    yield f"{place}: occupancy {percent:.1f} %, claimed at least {kernel.claim} %"
    yield from wide_findings(kernels)


def provenance(kernels, compiler):
    architectures = sorted({a for k in kernels for a in k.usage}, key=lambda a: int(a[3:]))
    return f"nvcc {compiler}, {' '.join(architectures)}", architectures


def table(kernels, compiler):
    """The generated part of docs/kernels.md."""
    made_by, architectures = provenance(kernels, compiler)
    lines = [f"By {made_by}.", ""]
    for family in sorted({kernel.family for kernel in kernels}):
        head = ["kernel", "threads", "16-byte", "spills", "claim", *architectures]
        lines += [f"### {family}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for kernel in (k for k in kernels if k.family == family):
            spills = sum(u.spill_stores + u.spill_loads + u.stack for u in kernel.usage.values())
            cells = [f"`{kernel.name}`", str(kernel.threads), ", ".join(kernel.wide) or "-",
                     str(spills), f"{kernel.claim} %"]
            for name in architectures:
                usage = kernel.usage[name]
                percent = kernel.occupancy(name)
                cells.append(f"{usage.registers} / {usage.shared} / {percent:.0f} %")
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, ""])


def parts_of(path):
    """A document before, between and after its markers."""
    before, begin, rest = path.read_text().partition(BEGIN + "\n")
    middle, end, after = rest.partition(END + "\n")
    if not begin or not end:
        sys.exit(f"{path} lacks the lines '{BEGIN}' and '{END}'")
    return before, middle, after


def write(path, kernels, compiler):
    before, _, after = parts_of(path)
    path.write_text(f"{before}{BEGIN}\n{table(kernels, compiler)}{END}\n{after}")


def docs_findings(kernels, compiler):
    """Whether docs/kernels.md is up to date; other compilers and architectures make other tables."""
    tables = parts_of(DOCS)[1]
    made_by = provenance(kernels, compiler)[0]
    if tables.startswith("By ") and not tables.startswith(f"By {made_by}."):
        print(f"docs/kernels.md was not compared: this build is by {made_by}")
    elif tables != table(kernels, compiler):
        yield ("docs/kernels.md is out of date; write it with: "
               "tools/kernel_resources.py --write docs/kernels.md")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "ci",
                        help="the build folder, with the target protolith_kernels_ptx built")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true")
    action.add_argument("--write", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    try:
        kernels, compiler = read_kernels(options.build)
    except FileNotFoundError as error:
        sys.exit(f"{error.filename} is missing: build protolith_kernels_cuda and "
                 f"protolith_kernels_ptx in {options.build}")
    found = list(findings(kernels))
    if not found and options.check:
        found = list(docs_findings(kernels, compiler))
    for finding in found:
        print(f"kernel_resources: {finding}")
    if found:
        sys.exit(1)
    if options.write:
        write(options.write, kernels, compiler)
    print(f"kernel_resources: {len(kernels)} kernels, "
          f"{sum(len(k.usage) for k in kernels)} compilations: no finding")


if __name__ == "__main__":
    main()
