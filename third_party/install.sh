#!/usr/bin/env bash
# Installs what Protolith needs from Debian's packages: third_party/README.md says why each is here.
# Asks dpkg first, so a second run is instant and needs neither the network nor root.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: third_party/install.sh [--dev] [--peers] [--list]
  --dev     also what checking needs: clang, clang-format, libomp, sanitizer run-times, ccache, python3
  --peers   also python3-torch, which only comparisons with PyTorch use
  --list    print the packages, one a line, and install nothing
EOF
}

packages=(g++ cmake ninja-build
          libdnnl-dev libopenblas-openmp-dev libhwy-dev librandom123-dev nlohmann-json3-dev
          libcli11-dev libtomlplusplus-dev doctest-dev libstb-dev libarchive-dev libfmt-dev
          gnuplot-nox)
list=
for argument in "$@"; do
  case $argument in
    --dev) packages+=(clang clang-format libomp-dev libclang-rt-dev ccache python3
                      python3-numpy) ;;
    --peers) packages+=(python3 python3-numpy python3-torch) ;;
    --list) list=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "install.sh: unknown option '$argument'" >&2; usage >&2; exit 2 ;;
  esac
done
if [[ $list ]]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install.sh: this is not Debian or one of its kin (no dpkg-query or apt-get)." >&2
  echo "Install these by other means, then configure with CMake as README.md shows:" >&2
  printf '  %s\n' "${packages[@]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  # Any kind of gnuplot will do, and this one would remove the others.
  if [[ $package == gnuplot-nox ]] && command -v gnuplot >/dev/null; then continue; fi
  status=$(dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null || true)
  grep -qx installed <<<"$status" || missing+=("$package")  # of one architecture or of several
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "install.sh: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "install.sh: not root and no sudo. Ask an administrator to run:" >&2
    echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "install.sh: installing ${missing[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
"${install[@]}" update -q || {
  echo "install.sh: apt-get update failed; is there a network, and does /etc/apt name a mirror?" >&2
  exit 1
}
"${install[@]}" install -y -q --no-install-recommends "${missing[@]}" || {
  echo "install.sh: apt-get could not install: ${missing[*]}" >&2
  echo "Is there a network, and did the update above reach its mirrors? Protolith is built on Debian 12" >&2
  echo "(bookworm) and needs its versions or later." >&2
  exit 1
}
