#!/usr/bin/env bash
# A replay of a 4 GB capture against "tcpdump -r FILE -w /dev/null 'tcp dst port 22'", both from memory: the page cache of a
# disk, and /dev/shm. Needs tcpdump, and 4 GB free in the directory for temporary files and in /dev/shm. Argument: packets, 5000000 unless given.
set -euo pipefail
cd "$(dirname "$0")/.."
export SKEP_BENCH_LARGE=${1:-5000000}
exec go test ./replay -run '^$' -bench '^BenchmarkLarge$' -benchtime "${RUNS:-3}x" -timeout 20m -v
