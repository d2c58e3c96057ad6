#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
# Compiles every workload, as examples/build.sh does the examples.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
STRIP=${STRIP:-llvm-strip-19}
for src in ${*:-*.bpf.c}; do
	obj=${src%.c}.o
	"$CLANG" -g -O2 -Wall -Wextra -Werror -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c "$src" -o "$obj"
	"$STRIP" -g "$obj"
done
