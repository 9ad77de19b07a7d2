import pickle

from lkgrag.errors import DataError, nearest


def test_a_message_is_one_line_whatever_it_shows():
    error = DataError("x.inter: no column 'u\rser\x1b[31m'\n  of\u2028these \u202ebackwards\t")
    assert str(error) == r"x.inter: no column 'u\rser\x1b[31m' of\u2028these \u202ebackwards"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_nearest_words():
    assert nearest("itm", ["item", "user"]) == " Did you mean 'item'?"
    assert nearest("7", ["u7", "0007", "07", "17"]) == " Did you mean '0007' or '07' or 'u7'?"
    assert nearest("zzz", ["item", "user"]) == ""
