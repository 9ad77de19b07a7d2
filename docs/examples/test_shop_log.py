"""The reader keeps the contract."""

from shop_log import ShopLog

from lkgrag.testing import ReaderSample, ReaderTests

DAY = 86400.0
#: Seconds from 1970 to 2026.
YEAR = 1767225600.0


class TestShopLog(ReaderTests):
    reader = ShopLog

    def write(self, folder):
        (folder / "shop.log").write_text(
            "2026-01-02 ann bought mug\n"
            "2026-01-01 ann bought tea\n"
            "2026-01-03 ann returned tea\n"
            "2026-01-03 bo bought tea\n"
        )
        (folder / "goods.csv").write_text("item,title,kind\nmug,A mug,dishes\ntea,Green tea,food\n")
        return ReaderSample(
            interactions=[
                ("ann", "mug", None, YEAR + DAY),
                ("ann", "tea", None, YEAR),
                ("bo", "tea", None, YEAR + 2 * DAY),
            ],
            titles={"mug": "A mug", "tea": "Green tea"},
            items={"mug": {"kind": ["dishes"]}, "tea": {"kind": ["food"]}},
            options={"name": "shop"},
        )
