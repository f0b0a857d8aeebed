"""What is said of a heap graph, on graphs made by hand whose answers are known to the byte."""

from __future__ import annotations

import numpy as np
import pytest
from heaps import graph_of
from test_heap_algorithms import held_by, random_heap, reachable

from memlab.analyses.dominators import children_of, nearest, subtree
from memlab.analyses.heap_census import module_of
from memlab.analyses.heap_cycles import components
from memlab.analyses.heap_holdings import holdings
from memlab.analyses.heap_names import node_name, resolve, root_of, via_name
from memlab.analyses.heap_paths import chain_to
from memlab.errors import UsageError
from memlab.records.chain import RootKind
from memlab.records.heap_graph import NO_NODE
from memlab.records.heap_results import TypeCount

MODULE, FRAME, NOTEBOOK = RootKind.MODULE, RootKind.FRAME, RootKind.NOTEBOOK


def n(node):
    return np.uint32(node)


def counts(contents):
    return [(row.type_name, row.objects, row.shallow_bytes) for row in contents]


class Builder:
    """Makes graphs node by node."""

    def __init__(self):
        self.edges, self.types, self.sizes, self.vias, self.labels = [], [], [], {}, {}

    def new(self, type_name, size, *holders, label=""):
        """Add a node held by ``(holder, via)`` or by bare holders."""
        node = len(self.types)
        self.types.append(type_name)
        self.sizes.append(size)
        if label:
            self.labels[node] = label
        for holder in holders:
            at, via = holder if isinstance(holder, tuple) else (holder, "")
            self.edges.append((at, node))
            if via:
                self.vias[at, node] = via
        return node

    def graph(self, roots, **others):
        return graph_of(
            self.edges, self.sizes, roots, self.types, labels=self.labels, vias=self.vias, **others
        )


def service(sessions=1000):
    """Make app.registry -> .registry Registry -> .__dict__ -> ._live set -> sessions -> dict -> str."""
    b = Builder()
    module = b.new("builtins.dict", 1000)
    registry = b.new("app.registry.Registry", 48, (module, ".registry"))
    attributes = b.new("builtins.dict", 104, (registry, ".__dict__"))
    live = b.new("builtins.set", 8000, (attributes, "._live"), label="_live (set)")
    for _ in range(sessions):
        session = b.new("app.registry.Session", 48, (live, "[member]"))
        values = b.new("builtins.dict", 100, (session, ".__dict__"))
        b.new("builtins.str", 60, (values, ".user"))
    for _ in range(50):
        b.new("builtins.str", 40, module)
    return b, live


REGISTRY = [(0, MODULE, "module app.registry")]


class TestDominatorTree:
    def test_the_nearest_marked_above(self):
        graph = graph_of([(0, 1), (1, 2), (2, 3), (4, 5), (6, 6)], roots=[0, 4])
        marked = np.array([0, 1, 0, 0, 0, 0, 0], bool)
        assert nearest(graph, marked).tolist() == [7, 1, 1, 1, 7, 7, NO_NODE]

    def test_children_and_subtrees(self):
        graph = graph_of({0: [1, 2], 1: [3], 2: [3], 3: [4]}, roots=[0])
        assert children_of(graph, 0).tolist() == [1, 2, 3]
        assert sorted(subtree(graph, np.array([3], np.uint32)).tolist()) == [3, 4]
        assert children_of(graph, len(graph)).tolist() == [0]


class TestNames:
    def test_a_label_or_the_short_type(self):
        graph = graph_of({0: [1]}, roots=[0], types=["app.Box", "builtins.set"], labels={1: "_live (set)"})
        assert [node_name(graph, 0), node_name(graph, 1)] == ["module app", "_live (set)"]
        assert graph_of({}, types=["app.Box"]).name(0) == "Box"

    def test_how_one_holds_another(self):
        graph = graph_of({0: [1, 2], 2: [0]}, vias={(0, 2): ".b", (2, 0): "[3]"})
        assert [via_name(graph, 0, 2), via_name(graph, 2, 0), via_name(graph, 0, 1)] == [".b", "[3]", ""]

    def test_a_live_object_is_found_by_address_and_type(self):
        mine, other = bytearray(3), bytearray(4)
        graph = graph_of({}, types=["builtins.list", "builtins.bytearray"], addresses=[id(other), id(mine)])
        assert graph.node(mine) == 1
        with pytest.raises(UsageError, match="this bytearray is not in it"):
            graph.node(other)
        with pytest.raises(UsageError, match="this int is not in it"):
            resolve(graph, 1)

    def test_numpy_integers_are_nodes(self):
        graph = graph_of({0: [1]})
        assert resolve(graph, np.int64(1)) == 1
        for wrong in (np.int64(2), np.int8(-1)):
            with pytest.raises(UsageError, match="numbered 0 to 1"):
                resolve(graph, wrong)

    def test_kinds_of_roots(self):
        graph = graph_of(
            {},
            [1] * 5,
            [(0, FRAME, "local x of f() at a.py:1"), (0, MODULE, "module later")],
            ["app.A", "builtins.type", "builtins.str", "app.B", "app.C"],
            external=[3],
            immortal=[1, 2],
        )
        assert root_of(graph, 0) == (FRAME, "local x of f() at a.py:1")
        assert root_of(graph, 1) == (RootKind.TYPE, "type")
        assert root_of(graph, 2) == (RootKind.OUTSIDE, "never freed by the interpreter")
        assert root_of(graph, 3) == (RootKind.OUTSIDE, "held outside Python")
        assert root_of(graph, 4) is None


class TestCensus:
    def test_counts_and_sizes(self):
        b, _ = service(10)
        result = b.graph(REGISTRY).census()
        rows = {
            name: (int(o), int(s), int(r))
            for name, o, s, r in zip(
                result.types, result.objects, result.shallow_bytes, result.retained_bytes, strict=True
            )
        }
        assert rows == {
            "builtins.set": (1, 8000, 8000 + 10 * 208),
            "builtins.str": (60, 2600, 2600),
            "builtins.dict": (12, 2104, 1000 + 48 + 104 + 8000 + 2080 + 2000),
            "app.registry.Session": (10, 480, 2080),
            "app.registry.Registry": (1, 48, 48 + 104 + 8000 + 2080),
        }
        assert result.types[0] == "builtins.set"
        assert (result.total_objects, result.total_bytes) == (84, 13232)

    def test_what_only_several_of_a_type_hold_counts_for_the_type(self):
        graph = graph_of({0: [1, 2], 1: [3], 2: [3]}, [1, 10, 20, 40], [0], ["m.M", "m.T", "m.T", "m.S"])
        assert graph.retained_size("m.T") == 70
        assert graph.retained_size(n(1)) == 10
        census = graph.census()
        assert int(census.retained_bytes[census.types.index("m.T")]) == 30
        assert any("retained_size(type)" in note for note in census.notes)

    def test_a_class_stands_for_its_objects(self):
        graph = graph_of({0: [1]}, [1, 30], [0], ["m.M", "builtins.bytearray"])
        assert graph.retained_size(bytearray) == 30
        with pytest.raises(UsageError, match=r"no objects of type 'T'; there is 'm\.T'"):
            graph_of({}, types=["m.T"]).retained_size("T")

    def test_retained_sizes_of_types_by_brute_force(self):
        for seed in range(60):
            count, pairs, roots, sizes = random_heap(seed, most=40)
            types = [f"m.T{node % 3}" for node in range(count)]
            graph = graph_of(pairs, sizes, roots, types)
            held = held_by(count, pairs)
            before = reachable(held, roots)
            for kind in set(types):
                all_of_it = {node for node in range(count) if types[node] == kind}
                gone = (before - reachable(held, roots, all_of_it)) | all_of_it
                assert graph.retained_size(kind) == sum(sizes[node] for node in gone), seed

    def test_equal_strings(self):
        graph = graph_of(
            {0: [1, 2]},
            [10, 50, 80],
            [(0, MODULE, "module app")],
            ["builtins.dict", "builtins.str", "builtins.bytes"],
            twins={1: 5, 2: 4},
        )
        result = graph.duplicates()
        assert [(g.type_name, g.objects, g.size_bytes, g.wasted_bytes, g.holder) for g in result.groups] == [
            ("builtins.bytes", 4, 80, 240, "module app"),
            ("builtins.str", 5, 50, 200, "module app"),
        ]
        assert result.wasted_bytes == 440

    def test_the_holder_of_equal_strings_is_one_with_a_name(self):
        b = Builder()
        module = b.new("builtins.dict", 1)
        rows = b.new("builtins.list", 1, (module, ".rows"))
        row = b.new("builtins.dict", 1, rows)
        text = b.new("builtins.str", 60, row)
        graph = b.graph([(module, MODULE, "module app")], twins={text: 3, rows: 2})
        assert [g.holder for g in graph.duplicates().groups] == ["dict in rows (list)", "module app"]


class TestOwners:
    #   0 app namespace -> 2;  1 lib.x namespace -> 3;  both -> 4;  5 local -> 6;  7 <-> 8 garbage;  3 owned
    graph = graph_of(
        {0: [2, 4], 1: [3, 4], 3: [9], 5: [6], 7: [8], 8: [7]},
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
        [(0, MODULE, "module app"), (1, MODULE, "module lib.x"), (5, FRAME, "local a of f() at f.py:1")],
        owners={0: "app", 1: "lib.x", 3: "lib.y"},
    )

    def test_modules(self):
        result = self.graph.by_module()
        assert dict(zip(result.owners, result.shallow_bytes.tolist(), strict=True)) == {
            "app": 5,
            "lib.x": 2,
            "lib.y": 520,
            "(shared)": 16,
            "(running)": 96,
            "(garbage)": 384,
        }
        assert result.owners[0] == "lib.y"
        of_node, names = module_of(self.graph)
        assert names[of_node[9]] == "lib.y"

    def test_packages(self):
        result = self.graph.by_package()
        sizes = dict(zip(result.owners, result.shallow_bytes.tolist(), strict=True))
        assert (sizes["lib"], sizes["app"], sizes["(shared)"]) == (522, 5, 16)
        assert int(result.objects.sum()) == 10


class TestTree:
    def rows(self, tree):
        return [
            (
                int(tree.parent[i]),
                int(tree.objects[i]),
                tree.label[i],
                int(tree.retained_bytes[i]),
                tree.via[i],
            )
            for i in range(len(tree.label))
        ]

    def test_many_small_siblings_are_one_row_that_opens(self):
        b, _ = service(1000)
        tree = b.graph(REGISTRY).dominator_tree()
        assert self.rows(tree) == [
            (-1, 0, "whole heap", 219152 - 8000 + 8000, ""),
            (0, 1, "module app.registry", 219152, ""),
            (1, 1, "Registry", 216152, ".registry"),
            (1, 50, "str", 2000, ""),
            (2, 1, "dict", 216104, ".__dict__"),
            (4, 1, "_live (set)", 216000, "._live"),
            (5, 1000, "Session", 208000, ""),
            (6, 1000, "dict", 160000, ""),
            (7, 1000, "str", 60000, ""),
        ]
        assert tree.children.tolist() == [1, 51, 1, 0, 1, 1000, 1000, 1000, 0]
        assert tree.cut == "3,050 objects put together by type with siblings."
        assert tree.type_name[6] == "app.registry.Session"

    def test_one_that_stands_out_is_listed_by_itself(self):
        edges = {0: list(range(1, 101))}
        sizes = [1] + [10] * 99 + [5000]
        graph = graph_of(edges, sizes, [0], ["builtins.list", *["m.T"] * 100])
        tree = graph.dominator_tree()
        assert [row[1:4] for row in self.rows(tree)][2:] == [(1, "T", 5000), (99, "T", 990)]
        assert tree.node.tolist() == [-1, 0, 100, -1]

    def test_at_most_so_many_rows_and_it_says_so(self):
        b, _ = service(100)
        tree = b.graph(REGISTRY).dominator_tree(rows=4)
        assert len(tree.label) == 4
        assert "not opened in full" in tree.cut

    def test_garbage_is_in_the_whole(self):
        graph = graph_of({0: [1], 2: [3], 3: [2]}, [1, 2, 4, 8], [0])
        tree = graph.dominator_tree()
        assert ("(garbage)", 12) in zip(tree.label, tree.retained_bytes.tolist(), strict=True)
        assert int(tree.retained_bytes[0]) == 15

    def test_a_long_list_does_not_fill_the_tree(self):
        count = 20_000
        edges = np.stack([np.arange(count), np.arange(1, count + 1)], 1).tolist()
        tree = graph_of([*edges, (0, count + 1)], roots=[0]).dominator_tree()
        assert 60 < len(tree.label) < 80
        assert "not followed below level 64" in tree.cut

    def test_a_million_children(self):
        count = 1_000_000
        edges = np.stack([np.zeros(count, np.int64), np.arange(1, count + 1)], 1)
        types = {0: "builtins.list"}
        tree = graph_of(edges, [8] * (count + 1), [0], types).dominator_tree()
        assert [row[1:4] for row in self.rows(tree)][1:] == [
            (1, "module app", 8 * count + 8),
            (count, "object", 8 * count),
        ]

    def test_children_of_a_row_never_keep_more_than_it(self):
        for seed in range(40):
            count, pairs, roots, sizes = random_heap(seed, most=120)
            graph = graph_of(pairs, sizes, roots, [f"m.T{i % 5}" for i in range(count)])
            tree = graph.dominator_tree()
            below = np.zeros(len(tree.label), np.int64)
            np.add.at(below, tree.parent[1:], tree.retained_bytes[1:])
            own = tree.shallow_bytes + below
            opened = below > 0
            assert (own[opened] == tree.retained_bytes[opened]).all(), seed
            assert int(tree.objects.sum()) == count


class TestPaths:
    def test_names_fold_an_instance_and_its_dict(self):
        b, live = service(3)
        explanation = b.graph(REGISTRY).why(n(live + 1))
        assert [str(chain) for chain in explanation.chains] == [
            "module app.registry -> .registry Registry -> ._live (set) -> [member] Session"
        ]
        assert explanation.verdict == (
            "It is held by _live (set), reached from module app.registry. It retains 208 B."
        )
        assert (explanation.holders, explanation.searched) == (1, 63)

    def test_the_dict_itself_is_not_folded_away(self):
        b, live = service(1)
        chain = chain_to(b.graph(REGISTRY), live + 2)
        assert str(chain).endswith("-> [member] Session -> .__dict__ dict")

    def test_a_closure_is_one_step(self):
        b = Builder()
        module = b.new("builtins.dict", 1)
        function = b.new("builtins.function", 1, (module, ".f"), label="function f() at a.py:1")
        closure = b.new("builtins.tuple", 1, (function, ".__closure__"))
        cell = b.new("builtins.cell", 1, (closure, "[0]"))
        cache = b.new("builtins.dict", 1, (cell, ".cell_contents"), label="cell_contents (dict)")
        value = b.new("m.A", 1, (cache, "[value]"))
        graph = b.graph([(module, MODULE, "module app")])
        assert str(chain_to(graph, value)) == (
            "module app -> .f function f() at a.py:1 -> cell dict -> [value] A"
        )
        assert str(chain_to(graph, cell)).endswith("at a.py:1 -> .__closure__ (tuple) -> [0] cell")

    def test_each_chain_goes_through_another_holder(self):
        #  0 app -> 1 cache -> 3 target;  0 -> 2 -> 4 -> 3;  5 local -> 3
        graph = graph_of(
            {0: [1, 2], 1: [3], 2: [4], 4: [3], 5: [3]},
            roots=[(0, MODULE, "module app"), (5, FRAME, "local a of f() at f.py:1")],
            types=["builtins.dict", "m.A", "m.B", "m.Target", "m.C", "m.Local"],
        )
        chains = graph.why(n(3)).chains
        assert [str(c) for c in chains] == [
            "module app -> A -> Target",
            "module app -> B -> C -> Target",
            "local a of f() at f.py:1 -> Local -> Target",
        ]
        assert len(graph.why(n(3), chains=1).chains) == 1

    def test_a_module_explains_more_than_what_is_held_outside(self):
        graph = graph_of(
            {0: [1], 1: [2], 3: [2]}, roots=[0], external=[2, 3], types=["builtins.dict", "m.A", "m.B", "m.C"]
        )
        explanation = graph.why(n(2))
        assert [str(c) for c in explanation.chains] == [
            "module app -> A -> B",
            "held outside Python -> B",
            "held outside Python -> C -> B",
        ]
        assert graph.why(n(3)).verdict == (
            "It is held outside Python: C code or a value in use on a thread's stack refers to it. "
            "It retains 100 B."
        )

    def test_a_way_through_the_object_itself_explains_nothing(self):
        graph = graph_of(
            {0: [1], 1: [2], 2: [1, 3], 3: [1]}, roots=[0], types=["builtins.dict", *["m.T"] * 3]
        )
        assert [str(c) for c in graph.why(n(1)).chains] == ["module app -> T"]

    def test_a_root_is_its_own_reason(self):
        graph = graph_of({0: [1]}, roots=[(1, FRAME, "local x of f() at f.py:1"), 0])
        assert [str(c) for c in graph.why(n(1)).chains] == [
            "module app -> object",
            "local x of f() at f.py:1 -> object",
        ]
        assert graph.why(n(0)).verdict == "It is itself a root: module app. It retains 100 B."

    def notebook(self, names, **others):
        #  0 __main__ -> 3;  1 Out -> 3;  2 sys -> 4 display hook -> 3
        return graph_of(
            {0: [1, 3], 1: [3], 2: [4], 4: [3]},
            roots=[(0, MODULE, "module __main__"), (2, MODULE, "module sys"), (1, NOTEBOOK, "Out")],
            types=["builtins.dict"] * 3 + ["m.Frame", "ipykernel.displayhook.ZMQShellDisplayHook"],
            vias={(0, 3): "._"},
            names=names,
            **others,
        )

    def test_what_only_cells_hold(self):
        explanation = self.notebook([("_", 3), ("_3", 3), ("Out[3]", 3)]).why(n(3))
        assert [(c.root, str(c)) for c in explanation.chains] == [
            (NOTEBOOK, "Out[3] -> Frame"),
            (NOTEBOOK, "display hook -> Frame"),
        ]
        assert explanation.verdict.startswith(
            "Only the notebook's own records hold it. Cell 3 displayed it: Out[3] and display hook hold it;"
        )

    def test_a_variable_is_named_before_the_notebooks_own_names(self):
        explanation = self.notebook([("_", 3), ("table", 3), ("Out[3]", 3)]).why(n(3))
        assert [(c.root, str(c)) for c in explanation.chains] == [
            (MODULE, "module __main__ -> .table Frame"),
            (NOTEBOOK, "Out[3] -> Frame"),
            (NOTEBOOK, "display hook -> Frame"),
        ]

    def test_the_last_exception_is_told_apart(self):
        graph = graph_of(
            {0: [1], 1: [2]},
            roots=[(0, MODULE, "module sys")],
            types=["builtins.dict", "builtins.ValueError", "m.Held"],
            names=[("sys.last_value", 1)],
        )
        (chain,) = graph.why(n(2)).chains
        assert (chain.root, str(chain)) == (
            RootKind.LAST_EXCEPTION,
            "sys.last_value -> ValueError -> Held",
        )

    def test_garbage_waits_for_the_collector(self):
        graph = graph_of({0: [], 1: [2], 2: [1, 3]}, roots=[0], types=["m.M", "m.A", "m.B", "m.C"])
        own = graph.why(n(1))
        assert [(c.root, str(c)) for c in own.chains] == [(RootKind.GARBAGE, "A -> B -> A")]
        assert "`gc.collect()` frees it" in own.verdict
        hanging = graph.why(n(3))
        assert str(hanging.chains[0]) == "A -> B -> C"
        assert hanging.verdict.startswith("No root reaches it. Garbage in a reference cycle holds it")
        assert chain_to(graph, 3) is None

    def test_a_long_chain_is_cut_in_the_middle(self):
        edges = [(i, i + 1) for i in range(99_999)]
        chain = graph_of(edges, roots=[0]).why(n(99_999)).chains[0]
        assert len(chain.links) == 16
        assert chain.cut == 100_000 - 16


class TestCycles:
    def test_equal_shapes_are_one_row(self):
        b = Builder()
        b.new("builtins.dict", 1)
        for size in (10, 20, 30):
            a = b.new("m.A", size)
            c = b.new("m.B", size, a)
            b.edges.append((c, a))
            b.new("builtins.str", 5, c)
        alone = b.new("m.Self", 7)
        b.edges.append((alone, alone))
        result = b.graph([0]).cycles()
        assert result.counts == (3, 1)
        first, second = result.cycles
        assert (first.objects, first.shallow_bytes, first.types) == (3, 65, ("m.A", "m.B"))
        assert counts(first.contents) == [("m.A", 1, 30), ("m.B", 1, 30), ("builtins.str", 1, 5)]
        assert (second.objects, second.shallow_bytes, second.types) == (1, 7, ("m.Self",))
        assert (result.objects, result.shallow_bytes) == (10, 142)

    def test_a_cycle_that_another_leads_to_counts_with_it(self):
        graph = graph_of(
            {0: [1], 1: [0, 2], 2: [3], 3: [2]}, [1, 2, 4, 8], types=["m.A", "m.B", "m.C", "m.D"]
        )
        (cycle,) = graph.cycles().cycles
        assert (cycle.objects, cycle.shallow_bytes, cycle.types) == (4, 15, ("m.A", "m.B"))

    def test_what_two_cycles_share_belongs_to_neither(self):
        graph = graph_of({0: [0, 2], 1: [1, 2]}, [1, 2, 4], types=["m.A", "m.B", "m.C"])
        result = graph.cycles()
        assert [c.shallow_bytes for c in result.cycles] == [2, 1]
        assert result.shallow_bytes == 7
        assert result.notes == ("1 objects hang from several cycles and are counted in the total alone",)

    def test_nothing_unreached(self):
        assert graph_of({0: [1], 1: [0]}, roots=[0]).cycles().cycles == ()

    def test_components_by_brute_force(self):
        for seed in range(150):
            count, pairs, _, _ = random_heap(seed, most=30)
            held = held_by(count, pairs)
            ways = [reachable(held, [node]) for node in range(count)]
            graph = graph_of(pairs, [1] * count)
            found, number = components(graph.starts, graph.edges)
            assert set(found.tolist()) == set(range(number))
            for a in range(count):
                for c in range(count):
                    assert (found[a] == found[c]) == (c in ways[a] and a in ways[c]), seed


class TestWhatIf:
    def test_a_cut_object_frees_what_it_retains(self):
        for seed in range(60):
            count, pairs, roots, sizes = random_heap(seed, most=30)
            graph = graph_of(pairs, sizes, roots)
            tree = graph.dominators
            for node in range(count):
                freed = graph.what_if(n(node))
                expected = 0 if tree.parent[node] == NO_NODE else int(tree.retained_bytes[node])
                assert freed.freed_bytes == expected, seed
                assert freed.still_held == ()

    def test_a_cut_reference_by_brute_force(self):
        for seed in range(40):
            count, pairs, roots, sizes = random_heap(seed, most=25)
            graph = graph_of(pairs, sizes, roots)
            before = reachable(held_by(count, pairs), roots)
            for a, c in {tuple(pair) for pair in pairs}:
                left = [pair for pair in pairs if tuple(pair) != (a, c)]
                after = reachable(held_by(count, left), roots)
                freed = graph.what_if(references=[(n(a), n(c))])
                assert freed.objects == len(before - after), seed
                assert freed.freed_bytes == sum(sizes[node] for node in before - after)
                assert bool(freed.still_held) == (c in after)

    def test_it_says_who_still_holds(self):
        graph = graph_of(
            {0: [1, 2], 1: [3, 3], 2: [3]},
            [1, 2, 4, 8],
            roots=[0],
            types=["builtins.dict", "m.A", "m.B", "m.C"],
            vias={(1, 3): ".c"},
        )
        one = graph.what_if(references=[(n(1), n(3))])
        assert (one.objects, one.cut) == (0, ("A.c",))
        assert [str(c) for c in one.still_held] == ["module app -> B -> C"]
        both = graph.what_if(references=[(n(1), n(3)), (n(2), n(3))])
        assert (both.objects, both.freed_bytes, both.still_held) == (1, 8, ())
        assert both.cut == ("A.c", "B -> C")
        assert counts(both.contents) == [("m.C", 1, 8)]

    def test_a_cut_root_goes_whoever_holds_it(self):
        graph = graph_of({0: [1]}, [3, 4], [0], external=[0, 1])
        assert graph.what_if(n(0)).freed_bytes == 3
        assert graph.what_if(n(0), n(1)).freed_bytes == 7

    def test_live_objects(self):
        holder, held = bytearray(1), bytearray(2)
        graph = graph_of(
            {0: [1], 1: [2]},
            roots=[0],
            types=["m.M", "builtins.bytearray", "builtins.bytearray"],
            addresses=[1, id(holder), id(held)],
        )
        assert graph.what_if(references=[(holder, held)]).freed_bytes == 100
        assert graph.what_if(holder).freed_bytes == 200

    def test_what_cannot_be_cut(self):
        graph = graph_of({0: [1], 2: []}, [1, 1, 1], roots=[0])
        with pytest.raises(UsageError, match="has no reference to"):
            graph.what_if(references=[(n(1), n(0))])
        with pytest.raises(UsageError, match="name an object"):
            graph.what_if()
        garbage = graph.what_if(n(2))
        assert garbage.objects == 0
        assert "garbage already" in garbage.notes[-1]


class TestSuspects:
    def test_sessions_in_a_set_five_references_deep(self):
        b, live = service(1000)
        (suspect,) = b.graph(REGISTRY).suspects().suspects
        assert suspect.node == live
        assert suspect.retained_bytes == 216_000
        assert suspect.prose == (
            "_live (set) keeps 211 KiB, 99% of the heap: 1,000 Session. "
            "It is held by Registry (._live), reached from module app.registry."
        )
        assert suspect.contents == (TypeCount("app.registry.Session", 1000, 48_000, 208_000),)
        assert suspect.objects == 3001
        assert suspect.share == pytest.approx(216_000 / 219_152)

    def test_a_cache_of_tuples_is_made_of_what_they_hold_and_a_second_place_follows(self):
        b = Builder()
        module = b.new("builtins.dict", 500)
        app = b.new("shop.App", 48, (module, ".app"))
        views = b.new("shop.Views", 48, (app, ".views"))
        attributes = b.new("builtins.dict", 100, (views, ".__dict__"))
        cache = b.new("collections.OrderedDict", 5000, (attributes, ".cache"))
        for _ in range(500):
            entry = b.new("builtins.tuple", 56, (cache, "[value]"))
            b.new("shop.Page", 900, entry)
            b.new("builtins.float", 24, entry)
        log = b.new("builtins.list", 800, (module, ".log"))
        for _ in range(100):
            b.new("builtins.bytearray", 1000, log)
        first, second = b.graph([(module, MODULE, "module shop")]).suspects().suspects
        assert (first.node, second.node) == (cache, log)
        assert first.retained_bytes == 5000 + 500 * 980
        assert first.prose == (
            "cache (OrderedDict) keeps 483 KiB, 83% of the heap: 500 Page. "
            "It is held by Views (.cache), reached from module shop."
        )
        assert (
            second.prose
            == "log (list) keeps 98.4 KiB, 17% of the heap: 100 bytearray. It is held by module shop."
        )

    def test_great_siblings_on_the_way_down_are_found_too(self):
        b = Builder()
        module = b.new("builtins.dict", 100)
        app = b.new("m.App", 100, (module, ".app"))
        big = b.new("builtins.list", 100, (app, ".big"))
        other = b.new("builtins.list", 100, (app, ".other"))
        for _ in range(2000):
            b.new("builtins.bytearray", 100, big)
        for _ in range(150):
            b.new("builtins.bytearray", 100, other)
        for _ in range(160):
            b.new("m.Small", 100, app)
        result = b.graph([(module, MODULE, "module m")]).suspects(share=0.05)
        assert [(s.node, s.label, s.retained_bytes) for s in result.suspects] == [
            (big, "big (list)", 200_100),
            (app, "160 Small", 16_000),
            (other, "other (list)", 15_100),
        ]

    def test_a_linked_list_is_named_by_its_first_link(self):
        b = Builder()
        module = b.new("builtins.dict", 500)
        queue = b.new("jobs.Queue", 48, (module, ".queue"))
        inner = b.new("jobs.Backlog", 48, (queue, ".backlog"))
        last = head = b.new("jobs.Job", 100, (inner, ".head"))
        for _ in range(3000):
            last = b.new("jobs.Job", 100, (last, ".next"))
        (suspect,) = b.graph([(module, MODULE, "module jobs")]).suspects().suspects
        assert suspect.node == head
        assert suspect.retained_bytes == 300_100
        assert suspect.prose == (
            "head (Job) keeps 293 KiB, 100% of the heap: 3,001 Job, each held by the one before. "
            "It is held by Backlog (.head), reached from module jobs."
        )
        assert counts(suspect.contents) == [("jobs.Job", 3001, 300_100)]
        assert str(suspect.chain) == "module jobs -> .queue Queue -> .backlog Backlog -> .head Job"
        assert suspect.objects == 3001

    def test_no_suspect_keeps_less_than_was_asked_for(self):
        b = Builder()
        module = b.new("builtins.dict", 1)
        node = b.new("m.A", 100, (module, ".a"))
        inner = b.new("m.B", 900, (node, ".b"))
        b.new("m.Rest", 999, external := b.new("builtins.dict", 7999))
        graph = b.graph([(module, MODULE, "module m"), (external, MODULE, "module n")])
        assert [s.node for s in graph.suspects(share=0.1).suspects] == [node]
        assert inner in [s.node for s in graph.suspects(share=0.05).suspects]

    def test_one_great_object(self):
        b = Builder()
        module = b.new("builtins.dict", 500)
        b.new("numpy.ndarray", 5 * 2**32, (module, ".table"))
        (suspect,) = b.graph([(module, MODULE, "module data")]).suspects().suspects
        assert suspect.prose == (
            "table (ndarray) is 20.0 GiB, 100% of the heap by itself. It is held by module data."
        )

    def test_many_that_no_single_object_holds(self):
        b = Builder()
        module = b.new("builtins.dict", 100)
        one, two = (
            b.new("builtins.list", 100, (module, ".one")),
            b.new("builtins.list", 100, (module, ".two")),
        )
        for _ in range(1000):
            b.new("m.Row", 100, one, two)
        (suspect,) = b.graph([(module, MODULE, "module m")]).suspects().suspects
        assert (suspect.node, suspect.label, suspect.retained_bytes) == (module, "1,000 Row", 100_000)
        assert (
            suspect.prose
            == "1,000 Row together keep 97.7 KiB, 100% of the heap. All of them hang from module m."
        )
        other = graph_of(
            {0: range(2, 52), 1: range(2, 52)},
            roots=[(0, MODULE, "module a"), (1, MODULE, "module b")],
            types={0: "builtins.dict", 1: "builtins.dict"},
        )
        (suspect,) = other.suspects().suspects
        assert suspect.node == -1
        assert suspect.prose == (
            "50 object together keep 4.88 KiB, 96% of the heap. No single object holds them all. "
            "One of them is held by module a."
        )

    def test_modules_are_no_finding(self):
        edges = [(m, 100 + 10 * m + i) for m in range(100) for i in range(10)]
        types = [f"m.T{i % 97}" for i in range(1100)]
        types[:100] = ["builtins.dict"] * 100
        graph = graph_of(edges, [10] * 1100, [(m, MODULE, f"module m{m}") for m in range(100)], types)
        assert graph.suspects().suspects == ()

    def test_a_share_must_be_one(self):
        with pytest.raises(UsageError, match="share must be"):
            graph_of({}, roots=[]).suspects(share=0)


class TestDiff:
    def pair(self, **marks):
        b, live = service(100)
        older = b.graph(REGISTRY, capture_id="first")
        before = len(b.types)
        for _ in range(40):
            session = b.new("app.registry.Session", 48, (live, "[member]"))
            values = b.new("builtins.dict", 100, (session, ".__dict__"))
            b.new("builtins.str", 60, (values, ".user"))
        b.new("builtins.bytearray", 999, 0)
        born = range(before, len(b.types)) if marks else ()
        return b.graph(REGISTRY, born=born, **marks), older, live

    def test_birth_marks_charge_new_objects_to_who_keeps_them(self):
        newer, older, _ = self.pair(mark_id="first")
        diff = newer.diff(older)
        assert diff.exact
        assert (diff.born_objects, diff.born_bytes) == (121, 40 * 208 + 999)
        assert (diff.objects_diff, diff.bytes_diff) == (121, 40 * 208 + 999)
        first, second = diff.containers
        assert (first.name, first.type_name) == ("_live (set)", "builtins.set")
        assert (first.entries, first.entries_diff, first.retained_diff, first.objects) == (140, 40, 8320, 120)
        assert counts(first.contents) == [
            ("builtins.dict", 40, 4000),
            ("builtins.str", 40, 2400),
            ("app.registry.Session", 40, 1920),
        ]
        assert (second.name, second.entries_diff, second.retained_diff) == ("module app.registry", 1, 999)
        most = diff.types[0]
        assert (most.type_name, most.objects_diff, most.bytes_diff, most.born) == (
            "builtins.dict",
            40,
            4000,
            40,
        )
        assert "Birth marks" in diff.notes[-1]

    def test_marks_of_another_capture_are_no_marks(self):
        newer, older, _ = self.pair(mark_id="another")
        diff = newer.diff(older)
        assert not diff.exact
        assert (diff.born_objects, diff.born_bytes, diff.types[0].born) == (None, None, None)

    def test_without_marks_named_places_are_compared(self):
        newer, older, _ = self.pair()
        diff = newer.diff(older)
        assert not diff.exact
        # The module grew too, by little more than its set did: the set is the finding.
        assert [c.name for c in diff.containers] == ["_live (set)"]
        grown = diff.containers[0]
        assert (grown.entries_diff, grown.retained_diff, grown.objects) == (40, 8320, 120)
        assert ("builtins.str", 40, 2400) in counts(grown.contents)
        assert "No birth marks" in diff.notes[-1]

    def test_the_reverse_says_what_went(self):
        newer, older, _ = self.pair()
        diff = older.diff(newer)
        assert diff.objects_diff == -121
        assert diff.types[-1].bytes_diff == -4000
        assert diff.containers == ()

    def test_equal_addresses_say_nothing(self):
        older = graph_of({0: [1]}, roots=[0], types=["builtins.dict", "m.A"], addresses=[64, 128])
        newer = graph_of({0: [1]}, roots=[0], types=["builtins.dict", "m.B"], addresses=[64, 128])
        assert [(t.type_name, t.objects_diff) for t in newer.diff(older).types] == [("m.B", 1), ("m.A", -1)]

    def test_a_container_that_changed_its_entries_shows_the_net_figure(self):
        #  ten entries went and ten new ones came
        b = Builder()
        module = b.new("builtins.dict", 1)
        cache = b.new("builtins.dict", 1, (module, ".cache"))
        for _ in range(10):
            b.new("m.A", 10, cache)
        older = b.graph([(module, MODULE, "module m")], capture_id="a")
        newer = b.graph([(module, MODULE, "module m")], born=range(2, 12), mark_id="a")
        (grown,) = newer.diff(older).containers
        assert (grown.entries_diff, grown.retained_diff, grown.objects) == (0, 100, 10)

    def test_what_no_single_container_keeps(self):
        older = graph_of({}, [1, 1], roots=[0, 1], capture_id="a")
        newer = graph_of({0: [2], 1: [2]}, [1, 1, 5], roots=[0, 1], born=[2], mark_id="a")
        (grown,) = newer.diff(older).containers
        assert (grown.name, grown.retained_diff, grown.objects) == ("several holders", 5, 1)

    def test_a_capture_that_the_program_keeps_is_no_growth(self):
        b = Builder()
        module = b.new("builtins.dict", 10)
        cache = b.new("builtins.list", 10, (module, ".cache"))
        older = b.graph([(module, MODULE, "module m")])
        capture = b.new("memlab.records.heap_graph.HeapGraph", 50, (module, ".before"))
        b.new("numpy.ndarray", 10_000, capture)
        b.new("m.A", 7, cache)
        diff = b.graph([(module, MODULE, "module m")]).diff(older)
        assert (diff.objects_diff, diff.bytes_diff) == (1, 7)
        assert [(c.name, c.retained_diff) for c in diff.containers] == [("cache (list)", 7)]
        assert [t.type_name for t in diff.types] == ["m.A"]
        assert diff.notes[0] == "9.81 KiB of memlab's own results, earlier captures among them, are left out."

    def test_only_heap_graphs(self):
        with pytest.raises(UsageError, match="give the older one"):
            graph_of({}).diff("graph")


class TestHoldings:
    #  0 __main__ -> 3 x, 4 y;  1 Out -> 3, 5;  2 app -> 4;  6 display hook -> 5;  3 -> 7, 5 -> 7
    graph = graph_of(
        {0: [3, 4, 1], 1: [3, 5], 2: [4], 6: [5], 3: [7, 8], 5: [7]},
        [1, 1, 1, 100, 200, 400, 1, 50, 25],
        [
            (0, MODULE, "module __main__"),
            (2, MODULE, "module app"),
            (1, NOTEBOOK, "Out"),
        ],
        ["builtins.dict"] * 3 + ["m.X", "m.Y", "m.Z", "IPython.core.displayhook.Hook", "m.S", "m.T"],
        names=[("x", 3), ("Out[1]", 3), ("_1", 3), ("y", 4), ("Out[2]", 5), ("_", 5), ("hook", 6)],
    )

    def test_what_would_go_with_all_names_of_an_object(self):
        result = holdings(self.graph)
        rows = {row.names: (row.kind, row.retained_bytes, row.objects) for row in result.holdings}
        assert rows == {
            ("Out[2]", "_"): ("output", 400, 1),
            ("x", "Out[1]", "_1"): ("variable", 125, 2),
            ("hook",): ("variable", 1, 1),
            ("y",): ("variable", 0, 0),  # app holds it too
        }
        assert [row.retained_bytes for row in result.holdings] == [400, 125, 1, 0]

    def test_what_frees_it(self):
        release = {row.names[0]: row.release for row in holdings(self.graph).holdings}
        assert release == {
            "Out[2]": "memlab.release('Out[2]')",
            "x": "%xdel x",
            "y": "",
            "hook": "",
        }

    def test_further_namespaces_can_be_named(self):
        rows = {row.names[0]: row.retained_bytes for row in holdings(self.graph, [2]).holdings}
        assert rows["y"] == 200

    def test_the_last_exception(self):
        graph = graph_of(
            {0: [1, 2], 1: [3]},
            [1, 10, 5, 100],
            [(0, MODULE, "module sys")],
            names=[("sys.last_value", 1), ("out", 2)],
        )
        rows = {row.names[0]: (row.kind, row.retained_bytes) for row in holdings(graph).holdings}
        assert rows == {"sys.last_value": ("last exception", 110), "out": ("variable", 0)}

    def test_no_names(self):
        assert holdings(graph_of({0: [1]}, roots=[0])).holdings == ()


def test_the_dominator_tree_opens_under_an_object():
    """Root 0 holds 1, which alone keeps 2 and 3; what lies beside it is left out."""
    graph = graph_of({0: [1, 4], 1: [2, 3]}, [1, 10, 100, 1000, 5], [(0, MODULE, "module app")])
    tree = graph.dominator_tree(np.uint32(1))
    assert tree.node.tolist() == [1, 3, 2]
    assert tree.parent.tolist() == [-1, 0, 0]
    assert tree.retained_bytes.tolist() == [1110, 1000, 100]
    assert tree.objects.tolist() == [1, 1, 1]
    assert tree.shallow_bytes.tolist() == [10, 1000, 100]
