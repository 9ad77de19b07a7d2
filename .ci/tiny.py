"""A whole run of seconds with an installed lkgrag: training with a tiny language model, then a ranking."""

import json
import subprocess
from pathlib import Path

import pandas as pd

import lkgrag
from lkgrag.testing import planted
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer

assert "site-packages" in lkgrag.__file__, lkgrag.__file__
data = planted(num_users=60, num_items=40, seed=3)
pd.DataFrame(
    {
        "user": [data.user_ids[user] for user in data.user],
        "item": [data.item_ids[item] for item in data.item],
        "rating": data.rating,
        "time": data.time,
    }
).to_csv("purchases.csv", index=False)
tokenizer = tiny_tokenizer()
tiny_llama(len(tokenizer)).save_pretrained("llm")
tokenizer.save_pretrained("llm")

OPTIONS = """data.root=purchases.csv data.min_user=1 data.min_item=1 llm.name=llm llm.dtype=float32 retrieval.epochs=2
retrieval.k=8 retrieval.hidden=16 scorer.pretrain_epochs=2 training.max_examples=24 training.probe=24
cache.root=cache out=run threads=1"""
subprocess.run(["lkgrag", "train", *OPTIONS.split()], check=True, stdout=subprocess.DEVNULL)
found = json.loads(Path("run/metrics.json").read_text())["ranker"]["test"]["all"]["ndcg@10"]
assert 0 < found <= 1, found
assert Path("run/report.html").stat().st_size > 10_000
line = ["lkgrag", "recommend", "run=run", f"users={data.user_ids[0]}", "k=3", "format=json"]
out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
assert len(json.loads(out)[0]["items"]) == 3
print("a whole run: ok")
