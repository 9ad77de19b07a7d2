"""The faults of ``mutation.py`` can still be planted."""

from mutation import FAULTS, ROOT


def test_every_fault_has_its_place():
    lost = [
        fault.what
        for fault in FAULTS
        if (ROOT / "lkgrag" / fault.file).read_text(encoding="utf-8").count(fault.old) != 1
        or not all((ROOT / "tests" / path).exists() for path in fault.tests)
    ]
    assert not lost
