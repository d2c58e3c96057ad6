#!/usr/bin/env bash
# Measures this machine and keeps the raw output as bench/results/DATE-COMMIT-CPU.txt, in the format of `go test -bench`.
# `go run ./bench/figures` makes the README's tables of the newest file. Run it on an idle machine: as root for the kernel's
# figures, with clang-19 for those of native C. skep's engines, the kernel and native C take turns, COUNT times. A turn takes about
# 12 s, most of it waiting for the kernel's test runs.
set -euo pipefail
cd "$(dirname "$0")/.."
cpu=$(uname -m)
[ ! -r /proc/cpuinfo ] || cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr -cs 'A-Za-z0-9\n' '_')
out=${OUT:-bench/results/$(date +%Y-%m-%d-%H%M)-$(git rev-parse --short HEAD)-${cpu%_}.txt}
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -o "$bin/skep" ./cmd/skep
go build -o "$bin/native" ./bench/native
{
  for turn in $(seq "${COUNT:-10}"); do
    echo "turn $turn of ${COUNT:-10}" >&2
    "$bin/skep" bench -o benchstat
    "$bin/native"
  done
  go test -run '^$' -bench 'Verify|Workload' .
  go test -run '^$' -bench Verify -benchtime 50x ./conformance/kernel # beside the kernel's own time
} | tee "$out"
echo "kept as $out"
