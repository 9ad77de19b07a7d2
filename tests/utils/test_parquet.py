"""Parquet files by batches: memory does not grow with the file."""

import ast
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import lkgrag
from lkgrag.utils.parquet import open_parquet

PACKAGE = Path(lkgrag.__file__).parent


def test_batches_are_let_go(tmp_path):
    # Random bits: nothing of the 32 MB can be compressed.
    rng = np.random.default_rng(0)
    values = rng.integers(-(2**63), 2**63, 4_000_000)
    pq.write_table(pa.table({"x": values}), tmp_path / "x.parquet", row_group_size=100_000)
    del values
    before, most = pa.total_allocated_bytes(), 0
    with open_parquet(tmp_path / "x.parquet") as file:
        for _batch in file.iter_batches(50_000):
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 8e6


def test_everything_that_reads_by_batches_opens_files_so():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "ParquetFile"
    ]
    assert [place.partition(":")[0] for place in found] == ["utils/parquet.py"], found
