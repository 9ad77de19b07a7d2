"""The records of a run of W&B in offline mode, from its ``.wandb`` file.

The file is a log of LevelDB (https://github.com/google/leveldb/blob/main/doc/log_format.md) of protobuf records, behind a
header of seven bytes.
"""

import json
import struct

from wandb.proto import wandb_internal_pb2 as pb

BLOCK, HEADER = 32768, 7


def records(path):
    """All records of a file."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    place, parts = HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + HEADER])
        parts += content[place + HEADER : place + HEADER + size]
        place += HEADER + size
        # 1 is a whole record, 4 the last part of one.
        if kind in (1, 4):
            record = pb.Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def read_run(path):
    """The id, the options, the rows of the history and the artifacts of a run."""
    out = {"id": None, "config": {}, "history": [], "artifacts": []}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            out["id"] = record.run.run_id
            updates = record.run.config.update
        elif kind == "config":
            updates = record.config.update
        else:
            updates = []
        for item in updates:
            out["config"][item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        if kind == "history":
            row = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            out["history"].append(row)
        if kind == "artifact":
            out["artifacts"].append(record.artifact)
    return out
