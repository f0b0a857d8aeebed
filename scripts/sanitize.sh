#!/bin/sh
# Run the C extensions that walk, hook, are called back or hold objects (heapgraph, sites, gcrows, quickpool,
# quickcache) under AddressSanitizer and UndefinedBehaviorSanitizer, then heapgraph under valgrind; not part of `make test`. Builds into a throwaway
# folder and leaves the checkout's own binary alone. Only what names them counts: the interpreter itself is not
# clean under either tool.
#
#   sh scripts/sanitize.sh [python]        (default: .venv/bin/python)
set -eu
cd "$(dirname "$0")/.."
PYTHON=${1:-.venv/bin/python}
CC=${CC:-cc}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT INT TERM
INCLUDE=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
FLAGS="-shared -fPIC -g -O1 -fno-omit-frame-pointer -pthread -Wall -DPy_LIMITED_API=0x030B0000 -I$INCLUDE"

# Left out of the tests: those of the twin, of whole processes, of 5 GiB, and of addresses used again, which the
# sanitizer prevents.
# A copy of the package with a binary of its own: tests and memlab come from here.
cp -R memlab tests pyproject.toml "$WORK"
rm -f "$WORK"/memlab/_native/*.so
EXTENSION="$WORK/memlab/_native/heapgraph.abi3.so"
SITES="$WORK/memlab/_native/sites.so"
# Frames are read as this interpreter has them: not the limited API.
SITES_FLAGS="-shared -fPIC -g -O1 -fno-omit-frame-pointer -pthread -Wall -I$INCLUDE"

cat >"$WORK/work.py" <<'PROGRAM'
import sys

import numpy as np

import memlab
from memlab.collectors import heap_engine

assert heap_engine.native is not None
assert heap_engine.native.__file__.startswith(memlab.__path__[0])


class Tree:
    def __init__(self, parent):
        self.parent = parent


limits = tuple(map(int, sys.argv[1:]))
heap = [[Tree(n), {n: str(n)}, (n, [n]), np.array([[n], "text", None], object)] for n in range(500)]
for limit in limits:
    graph = memlab.heap(max_objects=limit)
    graph.census(), graph.cycles(), graph.suspects(), graph.dominator_tree(), graph.by_module(), graph.diff(graph)
    with memlab.heap_window(max_objects=limit) as window:
        heap.append([Tree(n) for n in range(500)])
        del heap[:100]
    assert window.newer is not None
for bad in ((b"", b""), (b"\0\0\0\0", b"\1\0\0\0"), (b"\0\0\0\0\1\0\0\0", b"\7\0\0\0"), (b"\0\0\0", b"")):
    try:
        heap_engine.native.reverse(*bad)
    except ValueError:
        continue
    raise AssertionError(bad)
print("worked")
PROGRAM

status=0
if echo 'int main(void) { return 0; }' | $CC -x c -fsanitize=address,undefined -o "$WORK/probe" - 2>/dev/null; then
    echo "== address and undefined behaviour"
    # Every array from malloc, so that the sanitizer knows its ends.
    # shellcheck disable=SC2086 - a list of words
    $CC $FLAGS -DMEMLAB_PLAIN_MALLOC -fsanitize=address,undefined -fno-sanitize-recover=undefined memlab/_native/heapgraph.c -o "$EXTENSION"
    # shellcheck disable=SC2086 - a list of words
    $CC $SITES_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=undefined memlab/_native/sites.c -o "$SITES"
    for name in gcrows quickpool quickcache; do
        # shellcheck disable=SC2086 - a list of words
        $CC $FLAGS -fsanitize=address,undefined -fno-sanitize-recover=undefined "memlab/_native/$name.c" \
            -o "$WORK/memlab/_native/$name.abi3.so"
    done
    ASAN=$($CC -print-file-name=libasan.so)
    UBSAN=$($CC -print-file-name=libubsan.so)
    export ASAN_OPTIONS=detect_leaks=0:handle_segv=1 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc
    (cd "$WORK" && LD_PRELOAD="$ASAN $UBSAN" PYTHONPATH="$WORK" "$OLDPWD/$PYTHON" work.py 100000000 20000 1) || status=1
    (cd "$WORK" && LD_PRELOAD="$ASAN $UBSAN" PYTHONPATH="$WORK:$WORK/tests:$WORK/tests/unit" MEMLAB_REQUIRE_NATIVE=1 \
        "$OLDPWD/$PYTHON" -m pytest -q -p no:cacheprovider -p no:randomly --timeout 900 \
        tests/unit/test_heap_engine.py tests/unit/test_heap_window.py tests/unit/test_heap_algorithms.py \
        -k "not python and not quiet and not garbage and not four_gib and not huge and not hook and not disguise") || status=1
    # With eight threads for a minute.
    (cd "$WORK" && LD_PRELOAD="$ASAN $UBSAN" PYTHONPATH="$WORK:$WORK/tests:$WORK/tests/unit" MEMLAB_REQUIRE_NATIVE=1 \
        MEMLAB_LONG=1 "$OLDPWD/$PYTHON" -m pytest -q -p no:cacheprovider -p no:randomly --timeout 900 \
        tests/unit/test_sampled.py tests/unit/test_sampled_hooks.py tests/unit/test_gc_pauses.py) || status=1
    (cd "$WORK" && LD_PRELOAD="$ASAN $UBSAN" PYTHONPATH="$WORK:$WORK/tests:$WORK/tests/unit" MEMLAB_REQUIRE_NATIVE=1 \
        MEMLAB_LONG=1 "$OLDPWD/$PYTHON" -m pytest -q -p no:cacheprovider -p no:randomly --timeout 900 \
        tests/unit/test_pool.py tests/unit/test_caches.py tests/unit/test_quick_paths.py \
        -k "not without_the_extension and not verdict_is_a_measurement") || status=1
    unset ASAN_OPTIONS UBSAN_OPTIONS
else
    echo "== $CC has no sanitizers: left out"
fi

if command -v valgrind >/dev/null 2>&1; then
    echo "== valgrind"
    # shellcheck disable=SC2086 - a list of words
    $CC $FLAGS memlab/_native/heapgraph.c -o "$EXTENSION"
    (cd "$WORK" && PYTHONMALLOC=malloc PYTHONPATH="$WORK" valgrind --tool=memcheck --leak-check=full \
        --show-leak-kinds=definite --num-callers=20 --log-file="$WORK/valgrind.log" \
        "$OLDPWD/$PYTHON" work.py 6000 1) || status=1
    # Keep the reports in which the extension appears at all, with their surroundings.
    grep -B 20 -A 10 'heapgraph\.c' "$WORK/valgrind.log" >"$WORK/ours.log" || true
    if [ -s "$WORK/ours.log" ]; then
        cat "$WORK/ours.log"
        status=1
    else
        echo "no report names heapgraph.c"
    fi
    tail -n 3 "$WORK/valgrind.log"
else
    echo "== valgrind is not on this machine: left out"
fi
exit $status
