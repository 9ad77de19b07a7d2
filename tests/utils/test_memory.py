import pytest

from lkgrag.utils.memory import free_memory

GIB = 2**30


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))


@pytest.fixture
def machine(tmp_path):
    """A machine of 16 GiB, 8 of which are free."""
    write(
        tmp_path,
        {
            "proc/meminfo": f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {8 * GIB // 1024} kB\n",
            "proc/self/cgroup": "0::/job/part\n",
        },
    )
    return tmp_path


def group(root, folder, limit, use, cache):
    write(
        root / "sys/fs/cgroup" / folder,
        {
            "memory.max": limit,
            "memory.current": use,
            "memory.stat": f"anon 1\ninactive_file {cache}\n",
        },
    )


def test_without_a_limit_the_machine_tells(machine):
    group(machine, "job/part", "max", GIB, 0)
    assert free_memory(machine) == 8 * GIB


def test_the_limit_of_a_group_counts_and_its_cache_is_free(machine):
    group(machine, "job/part", 4 * GIB, 3 * GIB, GIB)
    assert free_memory(machine) == 2 * GIB


def test_the_limit_of_a_group_above_counts(machine):
    group(machine, "job/part", 4 * GIB, GIB, 0)
    group(machine, "job", 5 * GIB, 4 * GIB, 0)
    assert free_memory(machine) == GIB


def test_a_container_sees_its_group_as_the_root(machine):
    group(machine, "", 2 * GIB, GIB, 0)
    assert free_memory(machine) == GIB


def test_the_first_version_of_groups(machine):
    write(
        machine,
        {
            "proc/self/cgroup": "5:cpu:/a\n4:memory:/a\n0::/\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": 3 * GIB,
            "sys/fs/cgroup/memory/a/memory.usage_in_bytes": 2 * GIB,
            "sys/fs/cgroup/memory/a/memory.stat": f"total_inactive_file {GIB // 2}\n",
        },
    )
    assert free_memory(machine) == GIB * 3 // 2


def test_a_group_above_its_limit_has_nothing_left(machine):
    group(machine, "job/part", GIB, 2 * GIB, 0)
    assert free_memory(machine) == 0


def test_another_system_tells_nothing(tmp_path):
    assert free_memory(tmp_path) is None


def test_this_machine_has_memory():
    assert free_memory() > 0
