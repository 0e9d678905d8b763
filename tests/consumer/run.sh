#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Uses mproc as its users do: installed (by find_package and by pkg-config) and
# embedded (by add_subdirectory and by FetchContent), each static and shared,
# from C and from C++. Everything happens in a temporary folder.
#
#   run.sh [<source folder of mproc>]
set -euo pipefail

# What is looked at is how the package is made, not how fast it is.
CMAKE_BUILD_PARALLEL_LEVEL=$(getconf _NPROCESSORS_ONLN || echo 2)
export CMAKE_BUILD_PARALLEL_LEVEL

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mproc=$(cd "${1:-$here/../..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(awk '/define MPROC_VERSION_(MAJOR|MINOR|PATCH) / { print $3 }' \
    "$mproc/include/mproc/version.h" | paste -s -d . -)

# Runs a command, and shows its output if it fails.
quietly() {
    if ! "$@" >"$work/log" 2>&1; then
        cat "$work/log"
        echo "failed: $*" >&2
        exit 1
    fi
}

# Checks what the programs in a folder print.
run_programs() {
    local program output
    for program in "$1"/consumer_c "$1"/consumer_cpp; do
        output=$("$program")
        if [ "$output" != "mproc $version" ]; then
            echo "$program printed '$output', not 'mproc $version'" >&2
            exit 1
        fi
    done
}

# with_cmake <build folder> <cmake option>...
with_cmake() {
    local build=$1
    shift
    quietly cmake -S "$here" -B "$build" -DCMAKE_BUILD_TYPE=Debug "$@"
    quietly cmake --build "$build"
    run_programs "$build"
}

# with_pkg_config <folder> <prefix>
with_pkg_config() {
    mkdir "$1"
    cp "$here"/consumer.c "$here"/consumer.cpp "$here"/Makefile "$1"
    PKG_CONFIG_PATH=$(dirname "$(find "$2" -name mproc.pc)") quietly make -C "$1"
    run_programs "$1"
}

for shared in OFF ON; do
    place=$work/shared-$shared
    mkdir "$place"

    # Installed, then moved: a package must not depend on where it was made.
    quietly cmake -S "$mproc" -B "$place/mproc" -DCMAKE_BUILD_TYPE=Debug \
        -DBUILD_SHARED_LIBS=$shared -DCMAKE_INSTALL_PREFIX="$place/staged" \
        -DMPROC_BUILD_TESTS=OFF -DMPROC_BUILD_EXAMPLES=OFF -DMPROC_BUILD_BENCH=OFF
    quietly cmake --build "$place/mproc" --target install
    mv "$place/staged" "$place/prefix"

    echo "shared $shared: find_package"
    with_cmake "$place/find_package" -DWAY=find_package \
        -DCMAKE_PREFIX_PATH="$place/prefix"

    echo "shared $shared: pkg-config"
    with_pkg_config "$place/pkg_config" "$place/prefix"

    for way in add_subdirectory fetch_content; do
        echo "shared $shared: $way"
        with_cmake "$place/$way" -DWAY=$way -DMPROC_SOURCE="$mproc" \
            -DBUILD_SHARED_LIBS=$shared
    done
done
echo "all ways of using mproc work"
