# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts in this folder share. Sourcing it goes to the project's
# folder, so that a script may be started from anywhere.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Downloads and libraries built for other systems are kept between runs.
MPROC_CACHE=${MPROC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mproc}

step() { printf '\n==> %s\n' "$*"; }
die()  { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

cpus() { getconf _NPROCESSORS_ONLN 2>/dev/null || getconf NPROCESSORS_ONLN 2>/dev/null || echo 2; }

# Homebrew keeps APR out of the default search path: macOS once had its own.
if have brew; then
    apr=$(brew --prefix)/opt/apr
    export PKG_CONFIG_PATH=$apr/lib/pkgconfig:$apr/libexec/lib/pkgconfig:${PKG_CONFIG_PATH:-}
fi

# generate <build folder> <cmake option>...: runs CMake, with Ninja if it is there.
# The presets leave the generator open, and an existing folder keeps its own.
generate() {
    local folder=$1
    shift
    if have ninja && [ ! -e "$folder/CMakeCache.txt" ]; then
        set -- -G Ninja "$@"
    fi
    cmake "$@"
}

# build <preset> [<target>...]: configures and builds in build/<preset>.
build() {
    local preset=$1
    shift
    step "Build: $preset"
    generate "build/$preset" --preset "$preset"
    cmake --build --preset "$preset" --parallel "$(cpus)" ${1+--target "$@"}
}

# How many tests run at a time: most of them mostly wait.
jobs=$((2 * $(cpus)))

# run_tests <preset> [<ctest option>...]: runs the tests, several at a time.
run_tests() {
    local preset=$1
    shift
    step "Test: $preset"
    ${launcher[@]+"${launcher[@]}"} ctest --preset "$preset" --parallel "$jobs" "$@"
    check_skips "build/$preset"
}

# has_safe_sanitizers <compiler>: whether its sanitizers are here, and take their own locks around a fork. Before Clang 19
# and GCC 15 they did not: in a child that is forked while another thread allocates, the next allocation never ends.
has_safe_sanitizers() {
    local versions flag
    versions=$(echo "__clang_major__ __GNUC__" | "$1" -E -P -xc - 2>/dev/null) || return 1
    case $versions in
    __clang_major__*) [ "${versions#* }" -ge 15 ] || return 1 ;;
    *)                [ "${versions% *}" -ge 19 ] || return 1 ;;
    esac
    for flag in address,undefined thread; do
        echo "int main(void) { return 0; }" | "$1" "-fsanitize=$flag" -xc - -o /dev/null 2>/dev/null || return 1
    done
}

# sanitizing_compiler: prints the name of one that has_safe_sanitizers.
sanitizing_compiler() {
    local compiler
    for compiler in cc gcc clang clang-{19..29}; do
        if has_safe_sanitizers "$compiler"; then
            echo "$compiler"
            return
        fi
    done
    return 1
}

# From here on, run_tests runs programs without random addresses, where the system can.
fix_addresses() {
    if setarch -R true 2>/dev/null; then
        launcher=(setarch -R)
    fi
}

# check_skips <build folder>: no test was skipped but those that may be.
check_skips() {
    step "Skipped: $(basename "$1")"
    cmake -D BUILD="$1" -P cmake/CheckSkips.cmake
}

# fetch_sources <folder> <package>...: unpacks source packages of Debian. Systems
# do not list source packages unless told to, so this reads them with apt folders
# of its own: nothing of the system's changes, and it need not be root.
fetch_sources() {
    local folder=$1 file
    shift
    have apt-get || die "the sources of libraries come from apt, which is not here"
    mkdir -p "$folder"/apt/{sources,lists/partial,cache/archives/partial}
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [ -e "$file" ] || continue
        case $file in
        *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$folder/apt/sources/${file##*/}" ;;
        *.list)    sed -n 's/^deb /deb-src /p' "$file" >"$folder/apt/sources/${file##*/}" ;;
        esac
    done
    local options=(
        -q
        -o Dir::Etc::SourceList=/dev/null
        -o Dir::Etc::SourceParts="$folder/apt/sources"
        -o Dir::State::Lists="$folder/apt/lists"
        -o Dir::Cache="$folder/apt/cache"
        -o APT::Sandbox::User=
    )
    # Other vendors' archives may lack sources; only Debian's matter here.
    apt-get "${options[@]}" update || true
    (cd "$folder" && apt-get "${options[@]}" source "$@")
}
