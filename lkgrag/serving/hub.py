"""Rankers on the Hugging Face Hub: pushed by :class:`huggingface_hub.ModelHubMixin`, fetched into the Hub's cache."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from lkgrag.config.public import public_config
from lkgrag.data.assets.fetching import is_offline
from lkgrag.errors import AssetError, ConfigError, short
from lkgrag.serving.arguments import check_switch
from lkgrag.serving.card import model_card
from lkgrag.serving.card_parts import forbids_sharing
from lkgrag.serving.hub_errors import explained
from lkgrag.serving.saving import save, seal
from lkgrag.serving.withheld import WithheldUsers, without_users
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.layout import ADAPTER, CARD, DATA, KG, META, RANKER, REQUESTS, RETRIEVER
from lkgrag.utils.sums import find_damage

if TYPE_CHECKING:
    from lkgrag.ranker.model import RankerModel
    from lkgrag.serving.context import Context

log = logging.getLogger(__name__)

#: Files of an export that belong to it and not to the merged language model.
NOT_OF_MODEL = (CARD, "export.json")
#: Folders of a ranker, whose files of an earlier push are deleted where the new one has none.
FOLDERS = (ADAPTER, DATA, KG, REQUESTS, RETRIEVER, RANKER)
#: Kinds of files that no ranker has and that may run code when they are read.
NEVER = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.npy", "*.npz", "*.h5", "*.py")


@dataclass(frozen=True)
class Push:
    """How a ranker is pushed; see :meth:`lkgrag.Ranker.push_to_hub`."""

    histories: bool = False
    commit_message: str = "Push ranker"
    private: bool | None = None
    token: str | None = None
    branch: str | None = None
    create_pr: bool | None = None


@dataclass(frozen=True)
class Fetch:
    """How a ranker is fetched; see :meth:`lkgrag.Ranker.from_pretrained`."""

    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | os.PathLike[str] | None = None
    force_download: bool = False


class SavedFolder(ModelHubMixin, library_name="lkgrag"):
    """A ranker whose files and card are written already, for the mixin to upload.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _save_pretrained(self, save_directory: Path) -> None:
        shutil.copytree(self.folder, save_directory, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the disk cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def is_hub_name(name: object) -> bool:
    """Whether a text that is no folder may name a repository: ``owner/name``."""
    return (
        isinstance(name, str)
        and re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None
        and name[0] not in "./~"
    )


def write_shared(model: RankerModel, context: Context, folder: Path, name: str | None) -> None:
    """Write a ranker as it is shared: complete, with nothing that leads to this machine.

    Args:
        model: of the ranker.
        context: of the ranker.
        folder: a new folder.
        name: of the repository, for the card.

    Raises:
        LkgragError: the folder cannot be written, or a file is missing.
    """
    context = replace(context, config=public_config(context.config))
    if context.merged is None:
        save(model, context, folder)
        (folder / CARD).write_text(model_card(context, folder, name=name), encoding="utf-8")
        return
    if model.lm is None:
        # An export that serves without its language model: its weights do not come along.
        raise ConfigError(
            "this ranker was loaded without its merged language model; load it with lm='always' to share it"
        )
    source = Path(context.merged)
    save(model, context, folder / RANKER)
    names = [
        f.name
        for f in source.iterdir()
        if f.is_file() and f.name[0] != "." and f.name not in NOT_OF_MODEL
    ]
    for file in sorted(names):
        _link(str(source / file), str(folder / file))
    write_json(folder / RANKER / META, {**read_json(folder / RANKER / META), "merged": os.pardir})
    (folder / CARD).write_text(model_card(context, folder, True, name), encoding="utf-8")
    seal(
        folder / RANKER,
        [f"{os.pardir}/{f}" for f in sorted(names) if f != "generation_config.json"],
    )


def push(model: RankerModel, context: Context, repo_id: str, how: Push) -> str:
    """Upload a ranker; nothing is created on the Hub before its files are written.

    Args:
        model: of the ranker.
        context: of the ranker.
        repo_id: ``owner/name``, or ``name`` for the owner of the token.
        how: what goes along, and where it goes.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: the name is none, or a custom part cannot be shared without users.
        AssetError: the Hub cannot be reached, or refuses.
        LkgragError: a file cannot be written.
    """
    _check_name(repo_id)
    check_switch("histories", how.histories)
    for option in ("private", "create_pr"):
        check_switch(option, getattr(how, option), may_be_none=True)
    for option in ("token", "branch", "commit_message"):
        value = getattr(how, option)
        if not (isinstance(value, str) or (value is None and option != "commit_message")):
            raise ConfigError(f"{option}: must be a text, got {type(value).__name__}")
    if not how.histories:
        model, context = without_users(model, context)
    elif isinstance(context.users, WithheldUsers):
        raise ConfigError(
            "histories: this ranker was shared without histories, so it has none to push"
        )
    if forbids_sharing(context.config.data) and how.private is not True:
        log.warning(
            "push_to_hub: the terms of %s forbid redistribution, and titles and attributes of its items go along; "
            "private=True keeps the repository to you",
            short(context.config.data.name),
        )
    with tempfile.TemporaryDirectory(prefix="lkgrag-push-") as place:
        folder = Path(place) / "files"
        write_shared(model, context, folder, repo_id if "/" in repo_id else None)
        with explained(repo_id, "pushed", how.branch):
            # Files of an earlier push, such as histories, do not stay beside the new ones.
            stale = [
                *(f"{name}/*" for name in FOLDERS),
                "*.safetensors",
                "*.parquet",
                "*.json",
                "config.yaml",
            ]
            return str(
                SavedFolder(folder).push_to_hub(
                    repo_id,
                    commit_message=how.commit_message,
                    private=how.private,
                    token=how.token,
                    branch=how.branch,
                    create_pr=how.create_pr,
                    delete_patterns=stale,
                )
            )


def fetch(repo_id: str, how: Fetch) -> Path:
    """Download a ranker into the cache of the Hub, or find it there.

    Args:
        repo_id: ``owner/name``.
        how: which version, and by whom.

    Returns:
        The folder, which is not to be changed.

    Raises:
        ConfigError: the name is none.
        AssetError: the Hub cannot be reached, refuses, or has no such ranker; or a file came damaged.
    """
    _check_name(repo_id)

    def download(**options: Any) -> Path:
        folder = snapshot_download(
            repo_id,
            revision=how.revision,
            token=how.token,
            cache_dir=None if how.cache_dir is None else Path(how.cache_dir).expanduser(),
            force_download=how.force_download,
            local_files_only=is_offline(),
            library_name="lkgrag",
            **options,
        )
        return Path(folder)

    with explained(repo_id, "fetched", how.revision):
        # First what tells a ranker: other repositories may hold many gigabytes.
        folder = download(allow_patterns=[META, f"{RANKER}/{META}"])
        ranker = next((f for f in (folder, folder / RANKER) if (f / META).is_file()), None)
        if ranker is None:
            raise AssetError(
                f"{repo_id}: this repository of the Hub holds no ranker of lkgrag (it has no {META}); if it should, an earlier "
                "download was cut short, and force_download=True fetches it again"
            )
        _refuse_other_folders(repo_id, ranker)
        folder = download(ignore_patterns=list(NEVER))
    if damage := find_damage(ranker):
        raise AssetError(
            f"{repo_id}: {damage}; fetch it again by force_download=True, or, if it stays so, ask its owner to push it "
            "again"
        )
    return folder


def _refuse_other_folders(repo_id: str, ranker: Path) -> None:
    """Refuse a description that leads out of the repository.

    Raises:
        AssetError: it does.
    """
    meta = read_json(ranker / META)
    merged = meta.get("merged") if isinstance(meta, dict) else None
    if merged is not None and (merged != os.pardir or ranker.name != RANKER):
        raise AssetError(
            f"{repo_id}: {META} names a language model outside the repository ({short(str(merged))}); its owner "
            "pushes it again with lkgrag's push_to_hub"
        )


def _check_name(repo_id: object) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        ConfigError: saying what it may be.
    """
    try:
        if not isinstance(repo_id, str) or not repo_id:
            raise HFValidationError("it is no text")
        validate_repo_id(repo_id)
    except HFValidationError:
        raise ConfigError(
            f"{short(str(repo_id))!r}: no name of a repository on the Hub; give owner/name of letters, digits, '-', '_' "
            "and '.', at most 96 in all"
        ) from None
