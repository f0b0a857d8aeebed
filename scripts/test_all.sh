#!/bin/sh
# Run the unit tests on each of the Pythons named as arguments (3.11 3.12 ...), each in an environment of its
# own, .venv-3.x, with what unit tests need and no JupyterLab. A version that is not on this machine is
# skipped with a line. Interpreters are looked for on PATH and among pyenv's. With --prepare first, only the
# environments are made; UNIT names other tests than all of tests/unit. Of the C extensions in this folder
# sites is built for each of them, the others are one binary for all (abi3).
set -eu
cd "$(dirname "$0")/.."

NEEDS="pytest pytest-timeout pytest-randomly hypothesis packaging pyyaml html5lib nh3 pandas matplotlib ipython
 nbformat nbconvert nbclient ipykernel networkx anywidget memory-profiler memray pytest-xdist pytest-asyncio anyio"

find_python() {
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        # Run it: a pyenv shim is on PATH for versions that are not active, and fails.
        if "$candidate" -c "import sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

prepare=""
if [ "${1:-}" = --prepare ]; then
    prepare=1
    shift
fi
ran=""
failed=""
for version in "$@"; do
    if ! python=$(find_python "$version"); then
        echo "Python $version: not found here, skipped"
        continue
    fi
    venv=".venv-$version"
    if [ ! -e "$venv/.unit" ] || [ pyproject.toml -nt "$venv/.unit" ] || [ "$0" -nt "$venv/.unit" ]; then
        echo "Python $version: making $venv"
        "$python" -m venv "$venv"
        # shellcheck disable=SC2086 - a list of words
        "$venv/bin/python" scripts/install.py -e . $NEEDS
        touch "$venv/.unit"
    fi
    [ -z "$prepare" ] || continue
    echo "Python $version: $("$venv/bin/python" --version)"
    ran="$ran $version"
    "$venv/bin/python" scripts/run_tests.py ":$(echo "${UNIT:-tests/unit}" | tr -s ' ' ',')" || failed="$failed $version"
done
[ -z "$prepare" ] || exit 0
if [ -z "$ran" ]; then
    echo "none of these Pythons is on this machine: $*"
    exit 0
fi
if [ -n "$failed" ]; then
    echo "unit tests failed on:$failed"
    exit 1
fi
echo "unit tests passed on:$ran"
