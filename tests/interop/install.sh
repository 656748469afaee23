#!/usr/bin/env bash
# Installs a build as its users would, runs the program from there, builds tools/examples by
# find_package(Protolith) and by pkg-config, and makes, unpacks and runs the Debian packages.
# usage: install.sh BUILD_FOLDER
set -euo pipefail
unset CDPATH
(($# == 1)) || { echo "usage: install.sh BUILD_FOLDER" >&2; exit 2; }
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "install.sh: $*" >&2; exit 1; }
skip() { echo "install.sh: skipped: $*"; }
command -v python3 >/dev/null || { skip "python3, which draws the images, is not installed"; exit 77; }

# --- cmake --install, and the program from its new place
prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; fail "cmake --install"; }
libraries=$(dirname "$(find "$prefix" -name libprotolith_engine.a)")
model=$prefix/share/protolith/pretrained/omniglot-20w1s-lsed.safetensors
for printed in man/man1/protolith.1 bash-completion/completions/protolith; do
  grep -q classify "$prefix/share/$printed" || fail "$printed does not speak of classify"
done

# --- three drawings, two of them alike: a cross, a smaller cross, a ring
python3 - "$work" <<'PYTHON'
import struct, sys, zlib
def png(path, ink):
    rows = b''.join(b'\0' + bytes(0 if ink(x - 52, y - 52) else 255 for x in range(105)) for y in range(105))
    chunk = lambda kind, data: struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    header = struct.pack('>IIBBBBB', 105, 105, 8, 0, 0, 0, 0)
    open(path, 'wb').write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) +
                           chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))
cross = lambda x, y, arm: max(abs(x), abs(y)) < arm and min(abs(x), abs(y)) < 3
png(sys.argv[1] + '/cross.png', lambda x, y: cross(x, y, 36))
png(sys.argv[1] + '/small.png', lambda x, y: cross(x, y, 28))
png(sys.argv[1] + '/ring.png', lambda x, y: 900 < x * x + y * y < 1200)
PYTHON
drawings=("$work/cross.png" "$work/small.png" "$work/ring.png")
embed() { "$1" embed --quiet --device cpu --model "$2" --images "${drawings[@]}" --out "$3" >/dev/null; }
embed "$prefix/bin/protolith" "$model" "$work/installed.npy" || fail "the installed program does not embed"
loaded() { LD_TRACE_LOADED_OBJECTS=1 "$1" | grep -o '[^ ]*/libopenblas[^ ]*'; }
[[ $(loaded "$prefix/bin/protolith") && $(loaded "$prefix/bin/protolith") == "$(loaded "$build/protolith")" ]] || fail "the installed program loads another OpenBLAS"

# A table of distances: 0 to itself, the same both ways, the crosses nearer to each other.
check_distances() {
  awk -F'\t' '{ for (j = 2; j <= NF; ++j) d[NR, j - 1] = $j }
    END { if (NR != 3 || NF != 4) exit 1
          for (i = 1; i <= 3; ++i) { if (d[i, i] != 0) exit 1
            for (j = 1; j <= 3; ++j) if (d[i, j] != d[j, i]) exit 1 }
          exit !(0 < d[1, 2] && d[1, 2] < d[1, 3] && d[1, 2] < d[2, 3]) }' "$1" ||
    { cat "$1"; fail "$2: not the distances of these drawings"; }
}

# --- find_package(Protolith)
examples=$prefix/share/protolith/examples
{ cmake -S "$examples" -B "$work/examples" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release &&
  cmake --build "$work/examples"; } >"$work/examples.log" 2>&1 || { cat "$work/examples.log"; fail "find_package(Protolith)"; }
"$work/examples/distances" "$model" "${drawings[@]}" >"$work/cmake.txt"
check_distances "$work/cmake.txt" "find_package"
echo "install.sh: the example built by find_package runs"

# --- pkg-config
if command -v pkg-config >/dev/null; then
  export PKG_CONFIG_PATH=$libraries/pkgconfig
  read -ra flags <<<"$(pkg-config --cflags --libs protolith)"
  c++ -O1 "$examples/distances.cpp" "${flags[@]}" -o "$work/distances" || fail "pkg-config: the example does not build"
  "$work/distances" "$model" "${drawings[@]}" >"$work/pkg-config.txt"
  cmp "$work/cmake.txt" "$work/pkg-config.txt" || fail "pkg-config: another result"
  echo "install.sh: the example built by pkg-config gives the same"
else
  skip "pkg-config is not installed"
fi

# --- Debian packages
if command -v dpkg-deb >/dev/null && command -v dpkg-shlibdeps >/dev/null && command -v file >/dev/null; then
  (cd "$work" && cpack --config "$build/CPackConfig.cmake" -B "$work/packages" >"$work/cpack.log" 2>&1) ||
    { cat "$work/cpack.log"; fail "cpack"; }
  for package in protolith protolith-dev; do
    file=$(echo "$work/packages/${package}"_*.deb)
    [[ -f $file ]] || fail "cpack made no $package"
    [[ $(dpkg-deb -f "$file" Package) == "$package" ]] || fail "$file: another name"
    dpkg-deb -x "$file" "$work/root"
  done
  for library in libdnnl libopenblas0-openmp; do
    dpkg-deb -f "$work/packages"/protolith_*.deb Depends | grep -q "$library" || fail "protolith's package does not depend on $library"
  done
  embed "$work/root/usr/bin/protolith" "$work/root/usr/share/protolith/pretrained/$(basename "$model")" "$work/packaged.npy" ||
    fail "the packaged program does not embed"
  cmp "$work/installed.npy" "$work/packaged.npy" || fail "the packaged program gives another result"
  [[ -f $(find "$work/root/usr/lib" -name ProtolithConfig.cmake) ]] || fail "protolith-dev has no CMake package"
  echo "install.sh: protolith_*.deb and protolith-dev_*.deb unpack and run"
else
  skip "no dpkg-deb, dpkg-shlibdeps (package dpkg-dev) or file"
fi
