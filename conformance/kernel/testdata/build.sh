#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
# Compiles the programs that are put before the live kernel. Needs clang 19; see ../../../examples/build.sh for why it is
# done this way.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
STRIP=${STRIP:-llvm-strip-19}

for name in arena hooks kfuncs storage timers; do
	"$CLANG" -O2 -Wall -Wno-unused-but-set-variable -target bpf -fdebug-compilation-dir=. -I../../../examples -g -mcpu=v3 \
		-c "$name.c" -o "$name.o"
	"$STRIP" -g "$name.o"
done
