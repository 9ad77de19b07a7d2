import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.errors import ConfigError
from lkgrag.prompt.budget import Evidence, share_budget, within_budget

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


LONGEST = 12


@st.composite
def prompts(draw):
    """Titles by slot, worded bundles, history lines, fixed tokens and a limit that the titles alone keep."""
    titles = dict(enumerate(draw(st.lists(st.integers(1, LONGEST), min_size=2, max_size=6))))
    keys = st.floats(-3, 3)
    evidence = [
        Evidence(slot, rank, draw(keys), draw(st.integers(1, 6)))
        for slot in titles
        for rank in range(draw(st.integers(0, 3)))
    ]
    history = draw(st.lists(st.integers(1, 9), max_size=5))
    fixed = draw(st.integers(0, 9))
    need = fixed + sum(titles.values())
    most = need + sum(history) + sum(e.tokens for e in evidence)
    return titles, evidence, history, fixed, draw(st.integers(need, most + 5))


@given(prompts(), st.data())
@settings(max_examples=400, deadline=None)
def test_a_longer_title_costs_no_other_candidate_a_path(prompt, data):
    titles, evidence, history, fixed, limit = prompt
    before = share_budget(limit, fixed, titles, LONGEST, history, evidence)
    slot = data.draw(st.sampled_from(sorted(titles)))
    spare = min(LONGEST - titles[slot], limit - fixed - sum(titles.values()))
    longer = {**titles, slot: titles[slot] + data.draw(st.integers(0, max(0, spare)))}
    after = share_budget(limit, fixed, longer, LONGEST, history, evidence)
    for e, was, stays in zip(evidence, before.evidence, after.evidence, strict=True):
        # Its own paths can only become fewer.
        assert was == stays if e.slot != slot else was >= stays


@given(prompts())
@settings(max_examples=400, deadline=None)
def test_shares_keep_the_limit_and_the_best_paths(prompt):
    titles, evidence, history, fixed, limit = prompt
    kept = share_budget(limit, fixed, titles, LONGEST, history, evidence)
    words = sum(e.tokens for e, stays in zip(evidence, kept.evidence, strict=True) if stays)
    assert fixed + sum(kept.titles.values()) + words + sum(history[kept.first :]) <= limit
    assert all(1 <= kept.titles[slot] <= titles[slot] for slot in titles)
    # Nothing goes as long as all fit whatever the titles are.
    total = sum(e.tokens for e in evidence)
    if fixed + LONGEST * len(titles) + sum(history) + total <= limit:
        assert kept == (0, [True] * len(evidence), titles)
    # A title is cut only when there is no history left.
    assert kept.titles == titles or kept.first == len(history)
    for slot in titles:
        stays = [k for e, k in zip(evidence, kept.evidence, strict=True) if e.slot == slot]
        assert stays == sorted(stays, reverse=True)


def test_titles_that_do_not_fit_say_by_how_much():
    with pytest.raises(ConfigError, match=r"max_tokens=33: .* need 7 tokens more; .* least 40"):
        share_budget(33, 10, {0: 10, 1: 20}, 20, HISTORY, EVIDENCE)
    assert share_budget(40, 10, {0: 10, 1: 20}, 20, HISTORY, EVIDENCE).evidence == [False] * 4
    assert share_budget(40, 40, {}, 20, HISTORY, []) == (3, [], {})
