#!/usr/bin/env bash
# Installs what is missing with apt-get (Debian 12). Called by ./run, ./test and .ci/run.
# Usage: install-deps.sh [build|test|lint]…   Nothing is done, and no network needed, when all is there.
set -euo pipefail

build=(g++ cmake ninja-build git libeigen3-dev nlohmann-json3-dev libcli11-dev libfmt-dev
       libboost-dev libboost-graph-dev doctest-dev libkainjow-mustache-dev)
# The schema test runs python3-jsonschema over data files and results.
test=(python3-jsonschema)
lint=(clang-19 clang-tidy-19 clang-format-19)

wanted=()
for group in "${@:-build}"; do
  case "$group" in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    lint) wanted+=("${lint[@]}") ;;
    *) echo "install-deps.sh: unknown group '$group' (allowed: build, test, lint)" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "Installing: ${missing[*]}" >&2
apt=(apt-get)
[ "$(id -u)" -eq 0 ] || apt=(sudo apt-get)
"${apt[@]}" update -qq >&2
DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y -qq --no-install-recommends "${missing[@]}" >&2
