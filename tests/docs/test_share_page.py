"""The examples of docs/share.md, on a small shop and a stand-in of the Hub."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.hub_server import TOKEN, Hub
from helpers.pages import blocks
from helpers.small_run import small_options
from huggingface_hub import constants

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.run.pipeline import train

PAGE = Path(__file__).parents[2] / "docs" / "share.md"


def write_shop(root):
    """A RecBole folder whose items are those of the page."""
    rng = np.random.default_rng(0)
    items = [f"B{n:03}" for n in range(1, 25)]
    rows = [
        (f"u{user}", items[item], 1e9 + step)
        for user in range(30)
        for step, item in enumerate(rng.choice(len(items), 6, replace=False).tolist())
    ]
    columns = ["user_id:token", "item_id:token", "timestamp:float"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "shop.inter", sep="\t", index=False)
    names = [f"Thing {item}" for item in items]
    table = pd.DataFrame({"item_id:token": items, "title:token_seq": names})
    table.to_csv(root / "shop.item", sep="\t", index=False)


@pytest.mark.slow
def test_the_examples_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = small_options(tmp_path) | {"llm.name": "none", "out": "outputs/shop"}
    write_shop(tmp_path)
    train(load_config(options))
    hub = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache-of-hub"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("LKGRAG_OFFLINE", raising=False)
    owner, other = blocks(PAGE, "python")
    scope = {}
    exec(compile(owner, str(PAGE), "exec"), scope)
    assert hub.repositories["owner/shop"].private
    assert Ranker.from_pretrained("shop-ranker").users() == []
    exec(compile(other, str(PAGE), "exec"), scope)
    hub.close()


def test_the_page_is_short():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 80
