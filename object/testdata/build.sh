#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
# Compiles the loader's test objects. Needs clang 19; see ../../examples/build.sh for why it is done this way.
set -eu
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
STRIP=${STRIP:-llvm-strip-19}

# cc SOURCE OBJECT FLAGS...
cc() {
	src=$1 obj=$2
	shift 2
	"$CLANG" -O2 -Wall -target bpf -fdebug-compilation-dir=. -I../../examples "$@" -c "$src" -o "$obj"
	"$STRIP" -g "$obj"
}

for cpu in v1 v2 v4; do
	cc isa.c "isa_$cpu.o" -g -mcpu="$cpu"
done
for name in chain externs strong_kconfig core core_target odd map_kinds callbacks nosection; do
	cc "$name.c" "$name.o" -g -mcpu=v3
done
for name in legacy_maps iproute2; do # from before BTF
	cc "$name.c" "$name.o" -mcpu=v1
done
