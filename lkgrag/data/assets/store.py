"""Built-in data sets and models in the user's cache.

This package may not redistribute them. So they are fetched to the user's cache (``LKGRAG_CACHE``;
``LKGRAG_OFFLINE=1`` forbids the network) and compared with SHA-256 sums.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pooch

from lkgrag.data.assets.builtin import DATASETS, ENCODERS, GGUF, MODELS, Asset, Part
from lkgrag.data.assets.fetching import RECORD, cache_root, check_file, complete_folder
from lkgrag.data.assets.gguf import convert_gguf
from lkgrag.errors import AssetError, LkgragError, nearest
from lkgrag.utils.console import err_console
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.progress import spinner


def fetch_dataset(name: str) -> Path:
    """Return the folder of a built-in data set, and fetch it if it is not in the cache.

    Args:
        name: a key of :data:`DATASETS`.

    Raises:
        AssetError: there is no such data set, no source gave it, or a file differs from its checksum.
    """
    if name not in DATASETS:
        raise AssetError(
            f"data.name={name}: no built-in data set.{nearest(name, DATASETS)} There are: "
            f"{', '.join(DATASETS)}; for your own files set data.root to their folder"
        )
    return _cached(DATASETS[name], cache_root() / "data" / name, _fetch)


def fetch_model(name: str) -> Path:
    """Return the folder of a built-in language model, and fetch and convert it if it is not in the cache.

    Args:
        name: a key of :data:`MODELS`.

    Returns:
        A folder that ``AutoModelForCausalLM.from_pretrained`` reads: config, safetensors, tokenizer.

    Raises:
        AssetError: there is no such model, no source gave it, or a file differs from its checksum.
    """
    asset = _built_in_model("llm.name", "model", name, MODELS)
    return _cached(asset, cache_root() / "models" / name, _fetch_and_convert)


def fetch_encoder(name: str) -> Path:
    """Return the folder of a built-in text encoder, and fetch it if it is not in the cache.

    Args:
        name: a key of :data:`ENCODERS`.

    Returns:
        A folder that ``AutoModel.from_pretrained`` reads: config, safetensors, tokenizer.

    Raises:
        AssetError: there is no such encoder, no source gave it, or a file differs from its checksum.
    """
    asset = _built_in_model("text.encoder", "encoder", name, ENCODERS)
    return _cached(asset, cache_root() / "models" / name, _fetch)


def _built_in_model(option: str, kind: str, name: str, assets: dict[str, Asset]) -> Asset:
    """The asset of a name that an option gives.

    Raises:
        AssetError: there is none of this name.
    """
    if name not in assets:
        raise AssetError(
            f"{option}={name}: no built-in {kind}.{nearest(name, assets)} There are: "
            f"{', '.join(assets)}; a local folder or a hub name works too"
        )
    return assets[name]


def _cached(asset: Asset, folder: Path, fill: Callable[[Asset, Path], None]) -> Path:
    """Return the folder of an asset, which ``fill`` makes if it is not in the cache."""
    # Only a complete folder is renamed into its place, so its record says that all of it is there.
    if not (folder / RECORD).is_file():
        _announce(asset)
        with complete_folder(folder) as tmp:
            fill(asset, tmp)
            _write_record(tmp, asset)
    _verify(folder)
    return folder


def _announce(asset: Asset) -> None:
    err_console.print(
        f"fetching {asset.name}: {asset.about}; {asset.size}; licence: {asset.licence}",
        style="dim",
        markup=False,
    )


def _fetch(asset: Asset, folder: Path) -> None:
    for part in asset.parts:
        _fetch_part(part, folder)


def _fetch_and_convert(asset: Asset, folder: Path) -> None:
    """Fetch a GGUF file, turn it into a plain model, and remove it."""
    _fetch(asset, folder)
    with spinner("convert the weights"):
        convert_gguf(folder / GGUF, folder)
    (folder / GGUF).unlink()


def _fetch_part(part: Part, folder: Path) -> None:
    members = {file.name: file.member for file in part.files}
    failures = []
    for source in part.sources:
        try:
            with spinner(f"fetch {', '.join(list(members)[:3])}"):
                source.fetch(members, folder)
            for file in part.files:
                check_file(folder / file.name, file.sha256)
            return
        except AssetError as error:
            failures.append(str(error))
    raise AssetError("; ".join(failures) + f". What is needed: {part.sources[0].needs}")


def _write_record(folder: Path, asset: Asset) -> None:
    """Write the sums of the folder's files, so that a later change is noticed."""
    sums = {p.name: pooch.file_hash(str(p)) for p in sorted(folder.iterdir()) if p.is_file()}
    sources = {file.name: file.sha256 for file in asset.files}
    try:
        write_json(folder / RECORD, {"name": asset.name, "files": sums, "source": sources})
    except AssetError:
        raise
    except LkgragError as error:
        raise AssetError(str(error)) from error


def _verify(folder: Path) -> None:
    """Compare every file of a cached asset with its record.

    Raises:
        AssetError: a file is missing or differs.
    """
    advice = f"delete {folder} and run again"
    try:
        sums = read_json(folder / RECORD)["files"]
    except (LkgragError, KeyError, TypeError) as error:
        raise AssetError(f"{folder / RECORD}: broken record; {advice}") from error
    for name, sha in sums.items():
        path = folder / name
        if not path.is_file():
            raise AssetError(f"{path}: missing from the cache; {advice}")
        check_file(path, sha)
