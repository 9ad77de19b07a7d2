import numpy as np
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions, make_split
from lkgrag.errors import ConfigError, DataError

LOOSE = {"min_user": 1, "min_item": 1}
DAY = 86_400


def interactions(**users):
    """Users by name with the days of their interactions, counted from 2015-03-01."""
    rows = [
        (u, f"i{n}", 1_425_168_000 + d * DAY)
        for u, days in users.items()
        for n, d in enumerate(days)
    ]
    user, item, time = zip(*rows)
    return Interactions.from_frames(
        {"user": user, "item": item, "time": time}, config=DataConfig(**LOOSE)
    )


def split(x, **options):
    return make_split(x, DataConfig(split="time", **options))


def test_points_in_time_part_all_users_alike():
    x = interactions(a=[0, 1, 10, 20, 21], b=[2, 3], c=[11, 20], d=[22])
    found = split(x, val_from="2015-03-11", test_from="2015-03-21")
    assert found.train_end.tolist() == [2, 2, 0, 0]
    # c's first interaction has no history, and neither has d's only one.
    assert list(zip(found.val.user.tolist(), found.val.position.tolist())) == [(0, 2)]
    assert list(zip(found.test.user.tolist(), found.test.position.tolist())) == [
        (0, 3),
        (0, 4),
        (2, 1),
    ]
    one = split(x, val_from="2015-03-11", test_from="2015-03-21", rolling=1)
    assert one.test.position.tolist() == [3, 1]
    assert one.train_end.tolist() == found.train_end.tolist()


def test_nothing_from_the_point_on_is_trained_on():
    rng = np.random.default_rng(0)
    x = interactions(**{f"u{u}": sorted(rng.integers(0, 100, 20).tolist()) for u in range(30)})
    found = split(x)
    trained = x.time[found.train_mask(x)]
    place = x.indptr[found.val.user] + found.val.position
    tested = x.time[x.indptr[found.test.user] + found.test.position]
    assert trained.max() < x.time[place].min()
    assert x.time[place].max() < tested.min()
    share = len(trained) / len(x)
    assert 0.75 < share < 0.85
    assert 0.85 < (x.time < tested.min()).mean() <= 0.92


def test_points_as_numbers_and_what_does_not_fit():
    x = interactions(a=[0, 1, 10, 20, 21])
    point = str(1_425_168_000 + 10 * DAY)
    assert split(x, val_from=point, test_from="2015-03-21").train_end.tolist() == [2]
    with pytest.raises(ConfigError, match="not before"):
        split(x, val_from="2015-04-01", test_from="2015-03-21")
    with pytest.raises(ConfigError, match=r"data\.test_from=soon"):
        split(x, test_from="soon")
    with pytest.raises(ConfigError, match="time_unit=any"):
        split(x, test_from="2015-03-21", time_unit="any")
    with pytest.raises(ConfigError, match="split=time"):
        make_split(x, DataConfig(test_from="2015-03-21"))
    with pytest.raises(DataError, match="no interaction tests"):
        split(x, test_from="2016-01-01")
    with pytest.raises(DataError, match="nothing is earlier"):
        split(x, test_from="2010-01-01")
    bare = Interactions.from_frames({"user": ["u"], "item": ["a"]}, config=DataConfig(**LOOSE))
    with pytest.raises(DataError, match="1 of 1 interactions have no time"):
        split(bare)
