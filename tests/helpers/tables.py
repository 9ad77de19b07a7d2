"""What ``lkgrag.count`` writes, to compare."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.utils.files import read_json


def tables_of(folder):
    """Every table by its folder, and every other file by its bytes, but what says how parts are cut."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.name.startswith("part-"):
            found.setdefault(str(path.parent.relative_to(folder)), []).append(pq.read_table(path))
        elif path.name in ("store.json", "graph.json"):
            said = read_json(path)
            found[name] = {k: v for k, v in said.items() if k not in ("parts", "files")}
        elif path.is_file() and path.name not in ("ranges.json", ".lock"):
            found[name] = path.read_bytes()
    return {
        name: pa.concat_tables(value, promote_options="permissive")
        if isinstance(value, list)
        else value
        for name, value in found.items()
    }


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, pa.Table):
            assert value.schema.types == other[name].schema.types, name
            for column in value.column_names:
                ours, theirs = (
                    t[column].to_numpy(zero_copy_only=False) for t in (value, other[name])
                )
                np.testing.assert_array_equal(ours, theirs, err_msg=f"{name}: {column}")
        else:
            assert value == other[name], name
