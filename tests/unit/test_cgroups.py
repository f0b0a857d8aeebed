"""The real ceiling of a process, on file trees as kernels have them."""

import os

import pytest

from memlab.collectors.cgroups import Limit, surroundings

MIB = 1024 * 1024


@pytest.fixture
def machine(tmp_path):
    """Return a function that makes a file system of the given files and asks about process 7."""

    def make(files):
        base = {
            "proc/meminfo": "MemTotal:  8388608 kB\nMemFree: 1 kB\nMemAvailable:  4194304 kB\n",
            "proc/7/limits": "Limit  Soft Limit  Hard\nMax address space  unlimited  unlimited  bytes\n",
            "proc/7/cgroup": "0::/\n",
            "proc/7/mountinfo": "",
        }
        for name, text in (base | files).items():
            if text is None:
                continue
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return surroundings(7, str(tmp_path))

    return make


V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
V1 = "33 25 0:29 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory\n"


def test_the_least_limit_of_the_group_and_all_above_it_is_the_ceiling(machine):
    found = machine(
        {
            "proc/7/cgroup": "0::/a/b\n",
            "proc/7/mountinfo": V2,
            "sys/fs/cgroup/a/memory.max": f"{300 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": f"{20 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.peak": f"{90 * MIB}\n",
            "sys/fs/cgroup/a/b/memory.pressure": "some avg10=0.00 total=4321\nfull avg10=0 total=1\n",
        }
    )
    assert found.ceiling == Limit(300 * MIB, "cgroup v2 memory.max")
    values, absent = found.read()
    assert values == {
        "cgroup_bytes": 20 * MIB,
        "cgroup_peak_bytes": 90 * MIB,
        "stall_us": 4321,
        "available_bytes": 4096 * MIB,
    }
    assert absent == {}


def test_a_container_sees_its_group_at_the_mount_and_not_at_the_listed_path(machine):
    found = machine(
        {
            "proc/7/cgroup": "0::/docker/abc\n",
            "proc/7/mountinfo": "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "sys/fs/cgroup/memory.max": f"{64 * MIB}\n",
            "sys/fs/cgroup/memory.current": "12345\n",
        }
    )
    assert found.ceiling == Limit(64 * MIB, "cgroup v2 memory.max")
    assert found.read()[0]["cgroup_bytes"] == 12345


def test_a_container_in_a_namespace_of_its_own_finds_the_limit_above(machine):
    found = machine(
        {
            "proc/7/cgroup": "0::/../other/deep\n",
            "proc/7/mountinfo": V2,
            "sys/fs/cgroup/memory.max": f"{70 * MIB}\n",
        }
    )
    assert found.ceiling.value_bytes == 70 * MIB


def test_version_1_writes_no_limit_as_a_huge_number(machine):
    files = {
        "proc/7/cgroup": "9:cpu:/x\n4:memory,hugetlb:/x\n0::/x\n",
        "proc/7/mountinfo": V1,
        "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "777\n",
    }
    found = machine(files)
    assert found.ceiling == Limit(8192 * MIB, "physical memory")
    assert found.read()[0]["cgroup_bytes"] == 777
    files["sys/fs/cgroup/memory/memory.limit_in_bytes"] = f"{500 * MIB}\n"
    assert machine(files).ceiling == Limit(500 * MIB, "cgroup v1 memory.limit_in_bytes")


def test_the_resource_limit_counts_and_limits_are_sorted(machine):
    limits = (
        "Limit  Soft Limit  Hard Limit\nMax address space         419430400            unlimited   bytes\n"
    )
    found = machine({"proc/7/limits": limits})
    assert [limit.source for limit in found.limits] == ["RLIMIT_AS", "physical memory"]


def test_what_is_absent_has_a_reason_and_nothing_raises(machine, tmp_path):
    found = machine({"proc/meminfo": "nonsense\n", "proc/7/mountinfo": "broken\n- -\n"})
    assert found.ceiling is None
    assert found.read()[0] == {}
    assert set(found.absent) == {"cgroup_bytes", "cgroup_peak_bytes", "stall_us", "available_bytes"}
    assert all(found.absent.values())
    nothing = surroundings(8, str(tmp_path / "nowhere"))
    assert (nothing.limits, nothing.figures) == ((), ())


def test_a_figure_that_stops_answering_is_absent_with_its_reason(machine, tmp_path):
    found = machine({"proc/pressure/memory": "some avg10=0 total=5\n"})
    (tmp_path / "proc/pressure/memory").write_text("gone")
    (tmp_path / "proc/meminfo").unlink()
    values, absent = found.read()
    assert values == {}
    assert absent["stall_us"] == "does not read as expected"
    assert absent["available_bytes"] == "No such file or directory"


@pytest.mark.skipif(not os.path.exists("/proc/self/cgroup"), reason="needs /proc")  # noqa: PTH110
def test_this_machine_has_a_ceiling():
    found = surroundings()
    assert found.ceiling.value_bytes >= 64 * MIB
    assert found.read()[0].keys() | found.absent.keys() >= {"stall_us", "cgroup_bytes"}
