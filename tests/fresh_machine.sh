#!/usr/bin/env bash
# Proves the documented commands on a machine that has nothing: makes a minimal Debian 12 in a
# folder, clones this repository's HEAD into it and runs the quick start and the tests there.
# Needs root, debootstrap and the host's own apt sources; changes nothing outside the folder.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: tests/fresh_machine.sh FOLDER [--keep]
  FOLDER   must not exist; holds the machine (3 GB) and is removed at the end
  --keep   leave FOLDER, to look around with chroot
EOF
}

machine=
keep=
for argument in "$@"; do
  case $argument in
    --keep) keep=yes ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "fresh_machine.sh: unknown option '$argument'" >&2; usage >&2; exit 2 ;;
    *) machine=$argument ;;
  esac
done
[[ $machine ]] || { usage >&2; exit 2; }
[[ ! -e $machine ]] || { echo "fresh_machine.sh: '$machine' exists: name a new folder" >&2; exit 2; }
[[ $(id -u) == 0 ]] || { echo "fresh_machine.sh: needs root, for debootstrap and chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || {
  echo "fresh_machine.sh: debootstrap is missing: apt-get install debootstrap" >&2
  exit 1
}
machine=$(realpath -m "$machine")
cd "$(dirname "$0")/.."
suite=bookworm

# The mirror that this host takes its packages from: the first http source that names the suite.
find_mirror() {
  local sources=()
  mapfile -t sources < <(find /etc/apt/sources.list /etc/apt/sources.list.d -type f \
                              \( -name '*.list' -o -name '*.sources' \) 2>/dev/null)
  ((${#sources[@]})) || return 0
  awk -v suite="$suite" '
    /^deb / { for (i = 2; i < NF; ++i) if ($i ~ /^https?:/ && $(i + 1) == suite) { print $i; exit } }
    /^URIs:/ { uri = $2 }
    /^Suites:/ { for (i = 2; i <= NF; ++i) if ($i == suite && uri) { print uri; exit } }
  ' "${sources[@]}"
}
mirror=$(find_mirror)
[[ $mirror ]] || { echo "fresh_machine.sh: no source of $suite in /etc/apt" >&2; exit 1; }

mounted=()
leave() {
  local folder
  for folder in "${mounted[@]}"; do umount -l "$machine/$folder"; done
  if [[ -z $keep && -d $machine ]]; then rm -rf --one-file-system "$machine"; fi
}
trap leave EXIT

echo "== a minimal Debian in $machine"
debootstrap --variant=minbase "$suite" "$machine" "$mirror" >"$machine.log" 2>&1 || {
  tail -20 "$machine.log" >&2
  exit 1
}
rm -f "$machine.log"

# The host's way to its packages: sources, their keys, proxies, name resolution.
rm -rf "$machine/etc/apt/sources.list" "$machine/etc/apt/sources.list.d"
for item in apt/sources.list apt/sources.list.d apt/apt.conf apt/apt.conf.d apt/keyrings \
            apt/trusted.gpg.d resolv.conf hosts; do
  if [[ -e /etc/$item ]]; then cp -rL "/etc/$item" "$machine/etc/$(dirname "$item")/"; fi
done
if [[ -d /usr/share/keyrings ]]; then  # which sources may name
  mkdir -p "$machine/usr/share/keyrings"
  cp -rL /usr/share/keyrings/. "$machine/usr/share/keyrings/"
fi
for folder in proc sys dev; do
  mount --bind "/$folder" "$machine/$folder"
  mounted+=("$folder")
done

git clone -q . "$machine/root/protolith"
# A clean environment but for the proxies: nothing of the host's tools or caches is seen.
inside() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
    ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    chroot "$machine" /bin/bash -c "cd /root/protolith && $1"
}

start=$SECONDS
echo "== tools/quickstart.sh"
inside tools/quickstart.sh
echo "== tools/quickstart.sh: $((SECONDS - start)) s, install and build included"
start=$SECONDS
echo "== tests/run.sh"
inside tests/run.sh
echo "== tests/run.sh: $((SECONDS - start)) s"
echo "fresh machine: passed"
