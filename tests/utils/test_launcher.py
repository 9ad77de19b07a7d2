import pytest

from lkgrag.errors import ConfigError
from lkgrag.utils.launcher import count_local_processes, count_processes


def test_a_process_without_a_launcher_is_alone(monkeypatch):
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (count_processes(), count_local_processes()) == (1, 1)


@pytest.mark.parametrize("count", [count_processes, count_local_processes])
@pytest.mark.parametrize("value", ["two", "0", "-1", "1.5", "٣", "1e3", " 2"])
def test_a_wrong_variable_is_named_in_one_line(count, value, monkeypatch):
    name = "WORLD_SIZE" if count is count_processes else "LOCAL_WORLD_SIZE"
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"variable {name} is .* must be a whole number") as error:
        count()
    assert "\n" not in str(error.value)
