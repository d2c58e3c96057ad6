#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
# Compiles the examples of hooks, as ../build.sh does the others.
here=$(dirname "$0")
SOURCES=$here exec sh "$here/../build.sh" "$@"
