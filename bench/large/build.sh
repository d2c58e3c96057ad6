#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
# Compiles what is only large, as examples/build.sh does the examples.
here=$(dirname "$0")
SOURCES=$here exec sh "$here/../../examples/build.sh" "$@"
