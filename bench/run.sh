#!/usr/bin/env bash
# Measures this machine and keeps the raw output as bench/results/DATE-COMMIT-CPU.txt, in the format of `go test -bench`.
# `go run ./bench/figures` makes the README's table of the newest file. Run it on an idle machine; COUNT repetitions.
set -euo pipefail
cd "$(dirname "$0")/.."
cpu=$(uname -m)
[ ! -r /proc/cpuinfo ] || cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr -cs 'A-Za-z0-9\n' '_')
out=bench/results/$(date +%Y-%m-%d-%H%M)-$(git rev-parse --short HEAD)-${cpu%_}.txt
{
  go test -run '^$' -bench 'ALULoop|Filter|Verify' -count "${COUNT:-5}" .
  if command -v tcpdump >/dev/null && [ -d /dev/shm ]; then
    bash bench/replay.sh
  fi
} | tee "$out"
echo "kept as $out"
