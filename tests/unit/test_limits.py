"""The real ceiling, found in recorded trees: cgroup v1, v2, half-mounted, container, nested, and nothing."""

from __future__ import annotations

import sys
import types

import pytest

from memlab.collectors import limits
from memlab.collectors.limits import Machine
from memlab.lab.memory_monitor import MemoryMonitor

MIB = 2**20
GIB = 2**30
NO_LIMIT_V1 = 9223372036854771712

MEMINFO = "MemTotal: 33554432 kB\nMemFree: 100 kB\nMemAvailable:   16777216 kB\nSwapTotal: 8388608 kB\n"
STATUS = "Name:\tpython\nVmPeak:\t  900 kB\nVmSize:\t  409600 kB\nVmRSS:\t  40960 kB\nVmData:\t  102400 kB\n"
V2_MOUNT = "30 23 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 {root} {point} rw,relatime shared:9 - cgroup cgroup rw,memory\n"
OTHER_MOUNT = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:8 - cgroup cgroup rw,cpu\n"
PSI = "some avg10=0.00 avg60=0.00 avg300=0 total={some}\nfull avg10=0.00 avg60=0.00 avg300=0 total={full}\n"


class Tree:
    """A machine as files in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/self/status", STATUS)
        self.write("proc/self/cgroup", "")
        self.write("proc/self/mountinfo", OTHER_MOUNT)

    def write(self, path, text):
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def v2(self, folder, limit, used, inactive=0):
        self.write(f"{folder}/memory.max", f"{limit}\n")
        self.write(f"{folder}/memory.current", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"anon 1\ninactive_file {inactive}\nactive_file 7\n")

    def v1(self, folder, limit, used, inactive=0, hierarchical=NO_LIMIT_V1):
        self.write(f"{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{folder}/memory.usage_in_bytes", f"{used}\n")
        self.write(
            f"{folder}/memory.stat",
            f"inactive_file 3\nhierarchical_memory_limit {hierarchical}\ntotal_inactive_file {inactive}\n",
        )

    def machine(self, **options):
        options.setdefault("rlimits", dict)
        return Machine(str(self.folder), no_psutil, **options)


def no_psutil():
    raise ImportError("No module named 'psutil'")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_without_any_group_the_machines_memory_is_the_ceiling(tree):
    """What no limit was found for says why, and swap is no room."""
    ceilings = tree.machine().ceilings()
    assert [(c.source, c.limit_bytes, c.room_bytes) for c in ceilings.found] == [
        ("physical memory", 32 * GIB, 16 * GIB)
    ]
    assert "this process is in no such group" in ceilings.absent["cgroup"]
    assert ceilings.absent["rlimit"] == "no limit on address space or data"


def test_the_least_limit_of_all_ancestors_counts_in_cgroup_v2(tree):
    """A session under a slice under a limit: the tightest stands two levels up."""
    group = "/user.slice/user-1000.slice/app.scope"
    tree.write("proc/self/cgroup", f"0::{group}\n")
    tree.write("proc/self/mountinfo", OTHER_MOUNT + V2_MOUNT.format(root="/", point="/sys/fs/cgroup"))
    tree.v2("/sys/fs/cgroup" + group, "max", 700 * MIB)
    tree.v2("/sys/fs/cgroup/user.slice/user-1000.slice", 6 * GIB, 2 * GIB, inactive=512 * MIB)
    tree.v2("/sys/fs/cgroup/user.slice", 4 * GIB, 3 * GIB)
    real = tree.machine().ceilings().real
    assert (real.source, real.limit_bytes, real.room_bytes) == (
        "cgroup v2 memory.max (2 up)",
        4 * GIB,
        GIB,
    )


def test_file_pages_that_would_be_dropped_are_not_used(tree):
    """Half of what the group is charged with is inactive page cache."""
    tree.write("proc/self/cgroup", "0::/\n")
    tree.write("proc/self/mountinfo", V2_MOUNT.format(root="/", point="/sys/fs/cgroup"))
    tree.v2("/sys/fs/cgroup", 2 * GIB, GIB, inactive=512 * MIB)
    (ceiling, _) = tree.machine().ceilings().found
    assert (ceiling.source, ceiling.used_bytes) == ("cgroup v2 memory.max", 512 * MIB)


def test_in_a_container_the_named_path_does_not_exist_and_the_mount_is_the_group(tree):
    """The kernel names the host's path; only the group itself is mounted."""
    tree.write("proc/self/cgroup", "0::/../../docker/0123abc\n")
    tree.write("proc/self/mountinfo", V2_MOUNT.format(root="/", point="/sys/fs/cgroup"))
    tree.v2("/sys/fs/cgroup", 512 * MIB, 100 * MIB)
    assert tree.machine().ceilings().real.limit_bytes == 512 * MIB


def test_a_mount_whose_root_is_the_group_is_followed_below_it(tree):
    """Cgroup v1 in a container: the path is cut by the mount's root."""
    tree.write("proc/self/cgroup", "5:cpu,cpuacct:/docker/0123abc\n4:memory:/docker/0123abc/inner\n")
    tree.write(
        "proc/self/mountinfo",
        OTHER_MOUNT + V1_MOUNT.format(root="/docker/0123abc", point="/sys/fs/cgroup/memory"),
    )
    tree.v1("/sys/fs/cgroup/memory/inner", NO_LIMIT_V1, 10 * MIB)
    tree.v1("/sys/fs/cgroup/memory", 900 * MIB, 400 * MIB, inactive=100 * MIB)
    real = tree.machine().ceilings().real
    assert (real.source, real.used_bytes) == ("cgroup v1 memory.limit_in_bytes (1 up)", 300 * MIB)


def test_a_limit_above_the_mount_shows_in_the_hierarchical_one(tree):
    """v1 tells the least limit of every ancestor, mounted here or not."""
    tree.write("proc/self/cgroup", "4:memory:/pod/app\n")
    tree.write("proc/self/mountinfo", V1_MOUNT.format(root="/pod/app", point="/sys/fs/cgroup/memory"))
    tree.v1("/sys/fs/cgroup/memory", NO_LIMIT_V1, 50 * MIB, hierarchical=640 * MIB)
    real = tree.machine().ceilings().real
    assert (real.source, real.limit_bytes) == ("cgroup v1 hierarchical_memory_limit", 640 * MIB)


def test_v1s_huge_number_is_no_limit(tree):
    """A page-rounded 2**63 is "none", and the machine's memory holds."""
    tree.write("proc/self/cgroup", "4:memory:/a/b\n0::/\n")
    tree.write("proc/self/mountinfo", V1_MOUNT.format(root="/", point="/sys/fs/cgroup/memory"))
    tree.v1("/sys/fs/cgroup/memory/a/b", NO_LIMIT_V1, 50 * MIB)
    ceilings = tree.machine().ceilings()
    assert ceilings.real.source == "physical memory"
    assert ceilings.absent["cgroup"] == "v2: its hierarchy is not mounted; v1: no memory limit is set"


def test_both_hierarchies_half_mounted(tree):
    """v2 is there without its memory controller, v1 has the limits: the mixed set-up of many machines."""
    tree.write("proc/self/cgroup", "4:memory:/a\n0::/\n")
    tree.write(
        "proc/self/mountinfo",
        V1_MOUNT.format(root="/", point="/sys/fs/cgroup/memory")
        + V2_MOUNT.format(root="/", point="/sys/fs/cgroup/unified"),
    )
    tree.write("/sys/fs/cgroup/unified/memory.pressure", PSI.format(some=2_500_000, full=1_000_000))
    tree.v1("/sys/fs/cgroup/memory/a", 800 * MIB, 200 * MIB)
    tree.v1("/sys/fs/cgroup/memory", NO_LIMIT_V1, 20 * GIB)
    machine = tree.machine()
    assert machine.ceilings().real.limit_bytes == 800 * MIB
    assert machine.available() == 600 * MIB
    stalls = machine.stalls()
    assert (stalls.some_s, stalls.full_s, stalls.source) == (2.5, 1.0, "cgroup memory.pressure")


def test_a_mount_point_with_a_space_is_found(tree):
    """Mountinfo writes it as an octal escape."""
    tree.write("proc/self/cgroup", "0::/x\n")
    tree.write("proc/self/mountinfo", V2_MOUNT.format(root="/", point="/sys/fs/my\\040groups"))
    tree.v2("/sys/fs/my groups/x", GIB, MIB)
    assert tree.machine().ceilings().real.limit_bytes == GIB


def test_limits_of_the_process_are_ceilings_too(tree):
    """Address space and data, each against what the process has of it."""
    machine = tree.machine(rlimits=lambda: {"RLIMIT_AS": GIB, "RLIMIT_DATA": 300 * MIB})
    found = {c.source: c.room_bytes for c in machine.ceilings().found}
    assert found["RLIMIT_AS"] == GIB - 400 * MIB
    assert found["RLIMIT_DATA"] == 200 * MIB
    assert machine.ceilings().real.source == "RLIMIT_DATA"
    assert machine.available() == 16 * GIB, "limits of the process are not the machine's room"


def test_limits_are_looked_for_once_a_second_and_use_each_time(tree):
    """What is used is always fresh; a limit that was changed is seen a second later."""
    now = [0.0]
    tree.write("proc/self/cgroup", "0::/x\n")
    tree.write("proc/self/mountinfo", V2_MOUNT.format(root="/", point="/sys/fs/cgroup"))
    tree.v2("/sys/fs/cgroup/x", GIB, 100 * MIB)
    machine = tree.machine(clock=lambda: now[0])
    assert machine.ceilings().real.room_bytes == GIB - 100 * MIB
    tree.v2("/sys/fs/cgroup/x", 2 * GIB, 300 * MIB)
    assert machine.ceilings().real.room_bytes == GIB - 300 * MIB
    now[0] = 1.5
    assert machine.ceilings().real.limit_bytes == 2 * GIB


@pytest.mark.parametrize(
    "nonsense", ["", "\x00\x00", "0::\n", "a:b", "4:memory:/" + "x" * 5000, "0::/..\n4:memory:relative"]
)
def test_nonsense_gives_reasons_and_no_error(tree, nonsense):
    """Whatever the files hold, a reading is given, and never a 0 for what was not read."""
    tree.write("proc/self/cgroup", nonsense)
    tree.write("proc/self/mountinfo", nonsense + "\n" + V2_MOUNT.format(root="/", point="/sys/fs/cgroup"))
    tree.write("/sys/fs/cgroup/memory.max", nonsense)
    ceilings = tree.machine().ceilings()
    assert ceilings.real.source == "physical memory"
    assert ceilings.absent["cgroup"]


def test_nothing_at_all_gives_none_with_every_reason(tmp_path):
    """No /proc, no psutil: each figure is None, and says why."""
    machine = Machine(str(tmp_path), no_psutil, dict)
    ceilings = machine.ceilings()
    assert (ceilings.found, ceilings.real, ceilings.tightest) == ((), None, None)
    assert set(ceilings.absent) == {"cgroup", "rlimit", "physical memory"}
    assert machine.available() is None
    reading = MemoryMonitor(machine).read()
    assert (reading.limit_bytes, reading.available_bytes, reading.fraction) == (None, None, None)
    for name in ("limit_bytes", "available_bytes", "stall_some_s", "stall_full_s", "stall_share"):
        assert reading.absent[name]
    assert str(tmp_path) not in str(reading.absent), "a reason holds no path"


def test_on_other_systems_psutil_answers(tmp_path):
    """MacOS and Windows: no /proc, and psutil knows the machine's memory."""
    memory = types.SimpleNamespace(total=8 * GIB, available=3 * GIB)
    machine = Machine(str(tmp_path), lambda: types.SimpleNamespace(virtual_memory=lambda: memory), dict)
    real = machine.ceilings().real
    assert (real.limit_bytes, real.room_bytes) == (8 * GIB, 3 * GIB)


def test_the_lowest_ceiling_is_not_always_the_one_that_is_met_first(tree):
    """The limit is 4 GiB with 3 to go, but the machine has only 1 left: that is what is available."""
    tree.write("proc/meminfo", MEMINFO.replace("16777216", f"{GIB // 1024}"))
    tree.write("proc/self/cgroup", "0::/x\n")
    tree.write("proc/self/mountinfo", V2_MOUNT.format(root="/", point="/sys/fs/cgroup"))
    tree.v2("/sys/fs/cgroup/x", 4 * GIB, GIB)
    reading = MemoryMonitor(tree.machine()).read()
    assert (reading.limit_bytes, reading.available_bytes) == (4 * GIB, GIB)
    assert reading.sources["available_bytes"] == "physical memory"
    assert reading.fraction == 0.75


def test_stalls_are_told_as_a_share_of_the_time_since_the_last_reading(tree):
    """Half a second of waiting in two is a quarter; a first reading has no share, with the reason."""
    now = [10.0]
    tree.write("/proc/pressure/memory", PSI.format(some=1_000_000, full=0))
    monitor = MemoryMonitor(tree.machine(), clock=lambda: now[0])
    first = monitor.read(uss=False)
    assert (first.stall_some_s, first.stall_share) == (1.0, None)
    assert "earlier reading" in first.absent["stall_share"]
    assert first.absent["uss_bytes"] == "it was not asked for"
    now[0] = 12.0
    tree.write("/proc/pressure/memory", PSI.format(some=1_500_000, full=0))
    assert monitor.read(uss=False).stall_share == 0.25


def test_a_kernel_that_tells_no_full_stall_says_so(tree):
    """Kernels before 5.13 write no such line for the whole machine."""
    tree.write("/proc/pressure/memory", PSI.format(some=5, full=1).splitlines()[0] + "\n")
    reading = MemoryMonitor(tree.machine()).read(uss=False)
    assert reading.stall_full_s is None
    assert "groups only" in reading.absent["stall_full_s"]


def test_a_cage_is_a_ceiling_like_any_other(tree, monkeypatch):
    """Inside a cage its limit is seen by whatever asks."""
    monkeypatch.setattr(limits.cage, "limit_bytes", 64 * MIB)
    monkeypatch.setattr(limits.cage, "used", lambda: 48 * MIB)
    reading = MemoryMonitor(tree.machine()).read(uss=False)
    assert (reading.limit_bytes, reading.available_bytes) == (64 * MIB, 16 * MIB)
    assert reading.fraction == 0.75


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_this_machine_gives_a_plausible_reading():
    """The real files: a ceiling above the process, room, and every None has its reason."""
    with MemoryMonitor() as monitor:
        reading = monitor.read()
    assert 0 < reading.uss_bytes <= reading.rss_bytes * 1.1 < reading.limit_bytes
    assert 0 < reading.available_bytes <= reading.limit_bytes
    figures = ("rss_bytes", "uss_bytes", "limit_bytes", "available_bytes", "stall_some_s", "stall_share")
    assert all(reading.absent[name] for name in figures if getattr(reading, name) is None)


def test_a_limit_of_the_process_is_seen_in_a_child():
    """A real RLIMIT_AS in a real process."""
    resource = pytest.importorskip("resource")
    import subprocess

    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, resource.RLIM_INFINITY))\n"
        "import memlab; r = memlab.MemoryMonitor().read(); print(r.limit_bytes, r.sources['limit_bytes'])"
    )
    assert resource.RLIM_INFINITY
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == [str(3 << 30), "RLIMIT_AS"]
