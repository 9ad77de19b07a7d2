import pytest

from lkgrag.errors import ConfigError
from lkgrag.prompt.budget import Evidence, within_budget

EVIDENCE = [
    Evidence(slot=0, rank=0, key=5.0, tokens=3),
    Evidence(slot=0, rank=1, key=4.0, tokens=2),
    Evidence(slot=1, rank=0, key=1.0, tokens=3),
    Evidence(slot=1, rank=1, key=0.5, tokens=2),
]
HISTORY = [10, 20, 30]
FIXED = 40
ALL = FIXED + 60 + 10


@pytest.mark.parametrize(
    ("limit", "first", "keep"),
    [
        (ALL, 0, [1, 1, 1, 1]),
        # The weakest second path goes, then the other second one, then the weakest first one.
        (ALL - 1, 0, [1, 1, 1, 0]),
        (ALL - 3, 0, [1, 0, 1, 0]),
        (ALL - 5, 0, [1, 0, 0, 0]),
        (ALL - 10, 0, [0, 0, 0, 0]),
        # Then the oldest history.
        (ALL - 11, 1, [0, 0, 0, 0]),
        (ALL - 40, 2, [0, 0, 0, 0]),
        (FIXED, 3, [0, 0, 0, 0]),
    ],
)
def test_paths_go_evenly_then_the_oldest_history(limit, first, keep):
    got = within_budget(limit, FIXED, HISTORY, EVIDENCE)
    assert got == (first, [bool(k) for k in keep])


def test_equal_keys_do_not_depend_on_the_order_of_candidates():
    same = [e._replace(key=1.0) for e in EVIDENCE]
    _, keep = within_budget(ALL - 1, FIXED, HISTORY, same)
    _, turned = within_budget(ALL - 1, FIXED, HISTORY, same[::-1])
    assert keep == turned[::-1]


def test_what_must_stay_and_does_not_fit_says_by_how_much():
    with pytest.raises(ConfigError, match=r"max_tokens=33: .* need 7 tokens more; .* least 40"):
        within_budget(33, FIXED, HISTORY, EVIDENCE)
