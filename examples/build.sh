#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
# Compiles every example. The output depends on the sources and on clang's version alone: no path of the machine and
# no DWARF is in it, only code, BTF and line information. Other folders have the programs in SOURCES compiled in this way.
set -eu
cd "${SOURCES:-$(dirname "$0")}"
CLANG=${CLANG:-clang-19}
STRIP=${STRIP:-llvm-strip-19}
for src in ${*:-*.bpf.c}; do
	obj=${src%.c}.o
	"$CLANG" -g -O2 -Wall -Wextra -Werror -target bpf -mcpu=v3 -fdebug-compilation-dir=. -c "$src" -o "$obj"
	"$STRIP" -g "$obj"
done
