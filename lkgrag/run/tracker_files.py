"""Tables and files in the runs of trackers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate.tracking import GeneralTracker

    #: Columns and rows of tables, by name.
    Tables = dict[str, tuple[list[str], list[list[Any]]]]


def put_into_mlflow(tracker: GeneralTracker, found: Tables, files: list[Path]) -> None:
    """Put tables and files into MLflow's run."""
    # Only here: a run without it does not wait for it.
    import mlflow
    import pandas as pd

    for name, (columns, rows) in found.items():
        mlflow.log_table(pd.DataFrame(rows, columns=columns), f"tables/{name}.json")
    for file in files:
        tracker.log_artifact(str(file))


def put_into_wandb(tracker: GeneralTracker, found: Tables, files: list[Path]) -> None:
    """Put tables and files into W&B's run; files are one artifact."""
    # Only here, as above.
    import wandb

    for name, (columns, rows) in found.items():
        tracker.log_table(f"tables/{name}", columns=columns, data=rows)
    artifact = wandb.Artifact(f"report-{tracker.tracker.id}", type="report")
    for file in files:
        artifact.add_file(str(file))
    tracker.tracker.log_artifact(artifact)


def fail_mlflow() -> None:
    """End MLflow's run as one that failed."""
    # Only here, as above.
    import mlflow

    mlflow.end_run("FAILED")
