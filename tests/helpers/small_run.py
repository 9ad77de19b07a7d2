"""A small folder of data with a tiny language model, for whole runs in tests."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from lkgrag.testing import planted
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer


def write_shop(root: Path) -> None:
    """A RecBole folder of 60 users: ``shop.inter`` and ``shop.item``."""
    x = planted(num_users=60, num_items=40, seed=3)
    users = [x.user_ids[u] for u in x.user]
    items = [x.item_ids[i] for i in x.item]
    frame = pd.DataFrame({"u": users, "i": items, "r": x.rating, "t": x.time})
    frame.columns = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    frame.to_csv(root / "shop.inter", sep="\t", index=False)
    makers = [" ".join(m.replace(" ", "_") for m in row) for row in x.items["maker"]]
    table = pd.DataFrame({"i": x.item_ids, "t": x.titles, "m": makers})
    table.columns = ["item_id:token", "title:token_seq", "maker:token_seq"]
    table.to_csv(root / "shop.item", sep="\t", index=False)


def small_options(root: Path) -> dict[str, str]:
    """Options of a run of seconds on that folder; writes the folder and the language model."""
    write_shop(root)
    tokenizer = tiny_tokenizer()
    tiny_llama(len(tokenizer)).save_pretrained(root / "llm")
    tokenizer.save_pretrained(root / "llm")
    return {
        "data.name": "shop",
        "data.root": str(root),
        "data.min_user": "1",
        "data.min_item": "1",
        "llm.name": str(root / "llm"),
        "llm.dtype": "float32",
        "retrieval.epochs": "2",
        "retrieval.k": "8",
        "retrieval.hidden": "16",
        "scorer.pretrain_epochs": "2",
        "training.max_examples": "24",
        "training.checkpoint_every": "1",
        "training.probe": "24",
        "training.tracker": "none",
        "cache.root": str(root / "cache"),
        "out": str(root / "out"),
        "threads": "1",
    }


def close(found, expected, where=""):
    """Figures within 1e-4, everything else the same but for times, processes, threads and the model's folder."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            if key not in ("seconds", "date", "processes", "threads", "llm"):
                close(found[key], value, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for n, value in enumerate(expected):
            close(found[n], value, f"{where}/{n}")
    elif isinstance(expected, float) and isinstance(found, float):
        assert found == pytest.approx(expected, abs=1e-4), where
    else:
        assert found == expected, where


def same(found, expected):
    """Figures of two runs of one command: equal; on a GPU, which adds in any order, nearly."""
    if torch.cuda.is_available():
        close(found, expected)
    else:
        assert found == expected
