#!/usr/bin/env bash
# Unpack pgBackRest and Barman of Debian unstable into FOLDER, with every library that they need: fetch_rivals.sh FOLDER
# The system is not changed: apt keeps its lists, its cache and its list of installed packages in FOLDER/apt. Signatures
# are checked with Debian's keyring.
set -euo pipefail
folder=${1:?usage: fetch_rivals.sh FOLDER}
packages=(pgbackrest barman-cli-cloud python3-zstandard)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -s "$keys" ] || { echo "no $keys; install debian-archive-keyring" >&2; exit 2; }
mkdir -p "$folder"
folder=$(realpath "$folder")
export LC_ALL=C

mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | grep -E '/debian/?$' | head -1)
[ -n "$mirror" ] || { echo "no Debian mirror in this machine's apt sources" >&2; exit 2; }
apt=$folder/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs" "$apt/none"
: >"$apt/status"
echo "deb [signed-by=$keys] $mirror sid main" >"$apt/sources.list"
options=(
  -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Dir::State::status=$apt/status"
  -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o Acquire::Languages=none
  -o APT::Sandbox::User= -o Dir::Etc::preferences=/dev/null -o "Dir::Etc::preferencesparts=$apt/none"
)
apt-get "${options[@]}" -qq update
# With an empty status file nothing counts as installed, so this names libc6 and all the rest too.
apt-get "${options[@]}" install -s --no-install-recommends "${packages[@]}" |
  awk '/^Inst / {gsub(/[()]/, "", $3); print $2 "=" $3}' |
  grep -vE '^(dpkg|debconf|init-system-helpers|perl-base|passwd|adduser|systemd|login|mount|tar|util-linux)=' |
  sort >"$apt/list"
(cd "$apt/debs" && xargs apt-get "${options[@]}" -qq download <"$apt/list")
rm -rf "$folder/root.new"
mkdir "$folder/root.new"
for deb in "$apt"/debs/*.deb; do
  dpkg-deb --extract "$deb" "$folder/root.new"
done
rm -rf "$folder/root"
mv "$folder/root.new" "$folder/root"

# The programs run with the loader and the libraries of their own release, which are newer than this machine's.
# --argv0 names the wrapper: a program that starts itself anew, as pgBackRest's workers do, comes through here too.
root=$folder/root libs=$folder/root/usr/lib/x86_64-linux-gnu
rm -rf "$folder/bin"
mkdir "$folder/bin"
wrap() { # name, program, lines before
  printf '#!/bin/sh\n%sexec "%s" --argv0 "%s" --library-path "%s" "%s" "$@"\n' \
    "${3:-}" "$libs/ld-linux-x86-64.so.2" "$folder/bin/$1" "$libs" "$2" >"$folder/bin/$1"
  chmod 755 "$folder/bin/$1"
}
wrap pgbackrest "$root/usr/bin/pgbackrest"
python=$(readlink -f "$root/usr/bin/python3")
wrap python3 "$python" "export PYTHONHOME='$root/usr' PYTHONDONTWRITEBYTECODE=1
"
# A package is compiled when it is installed, not when it is unpacked: otherwise each start compiles all of boto3.
"$folder/bin/python3" -m compileall -q -j 0 "$root/usr/lib/python3" >/dev/null || echo "some modules were not compiled" >&2
for script in "$root"/usr/bin/barman*; do
  printf '#!/bin/sh\nexec "%s/bin/python3" "%s" "$@"\n' "$folder" "$script" >"$folder/bin/${script##*/}"
  chmod 755 "$folder/bin/${script##*/}"
done
chmod 755 "$folder" "$folder/root"
