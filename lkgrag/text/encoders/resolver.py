"""Which encoder a configuration names: its files, its layer, and what identifies it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lkgrag.config import LM_ENCODER, NO_ENCODER
from lkgrag.data.assets.builtin import ENCODERS, MODELS
from lkgrag.data.assets.fetching import is_offline
from lkgrag.data.assets.models import explain_failure, load_tokenizer, locate
from lkgrag.errors import ModelError
from lkgrag.text.encoders.hidden_states import HiddenStateEncoder
from lkgrag.utils.quiet import quiet
from lkgrag.utils.sums import hash_file

if TYPE_CHECKING:
    from lkgrag.config import LLMConfig, TextConfig

OPTION = "text.encoder"
#: Layers that ``text.layer=-1`` uses of a built-in model. Of SmolLM2-135M's thirty layers the twentieth ranked new
#: items better than the tenth and the last.
BEST_LAYERS = {"smollm2-135m": 20}
#: Parts of a model that vectors are not read from; files of an encoder may lack them.
UNUSED = ("pooler", "position_ids")


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder that a configuration names.

    Attributes:
        name: a built-in model, a folder or a hub name.
        layer: number of lower layers that are used; 0 for all.
    """

    name: str
    layer: int

    @classmethod
    def of(cls, text: TextConfig, llm: LLMConfig) -> EncoderChoice | None:
        """The choice of a configuration; None for no encoder."""
        if text.encoder == NO_ENCODER:
            return None
        name = llm.name if text.encoder == LM_ENCODER else text.encoder
        return cls(name, BEST_LAYERS.get(name, 0) if text.layer < 0 else text.layer)

    def identity(self) -> dict[str, Any]:
        """What the vectors depend on beside the texts: the name, the layer, and a hash of local files.

        Nothing is fetched. The files of a hub name are not hashed.

        Raises:
            ModelError: a file of the folder cannot be read.
        """
        asset = {**MODELS, **ENCODERS}.get(self.name)
        if asset is not None:
            sums = {file.name: file.sha256 for file in asset.files}
            return {"encoder": self.name, "layer": self.layer, "files": sums}
        folder = Path(self.name).expanduser()
        if folder.is_dir():
            # The same model in another folder gives the same vectors.
            return {"encoder": "folder", "layer": self.layer, "files": _hash_files(folder)}
        return {"encoder": self.name, "layer": self.layer}


def load_encoder(choice: EncoderChoice, device: torch.device | str = "cpu") -> HiddenStateEncoder:
    """Load an encoder, in float32.

    Args:
        choice: of the configuration.
        device: where it computes.

    Raises:
        ModelError: the model is unknown, incomplete, or no model of texts.
        AssetError: a built-in model could not be fetched.
    """
    # Heavy: importing this room must stay quick.
    from transformers import AutoModel

    where = locate(choice.name, OPTION)
    tokenizer = load_tokenizer(where, OPTION)
    try:
        with quiet():
            model, report = AutoModel.from_pretrained(
                where,
                dtype=torch.float32,
                local_files_only=is_offline(),
                output_loading_info=True,
            )
    except Exception as error:  # the hub's client and the models raise many kinds
        raise explain_failure(where, "model", error, OPTION) from error
    missing = sorted(k for k in report["missing_keys"] if not any(word in k for word in UNUSED))
    if missing:
        raise ModelError(
            f"{OPTION}={choice.name}: its files lack {len(missing)} weights, as {missing[0]}; copy the whole model"
        )
    return HiddenStateEncoder(choice.name, model.to(device), tokenizer, choice.layer)


def check_encoder(choice: EncoderChoice) -> None:
    """Refuse an encoder that is not available; a built-in one is fetched, and its tokenizer is read.

    Raises:
        ModelError: as :func:`load_encoder`.
        AssetError: a built-in model could not be fetched.
    """
    load_tokenizer(locate(choice.name, OPTION), OPTION)


def _hash_files(folder: Path) -> str:
    """A hash of the names and contents of a folder's files."""
    total = hashlib.sha256()
    try:
        for path in sorted(p for p in folder.iterdir() if p.is_file()):
            total.update(f"{path.name} {hash_file(path)}\n".encode())
    except OSError as error:
        raise ModelError(f"{OPTION}={folder}: {error.strerror or error}") from error
    return total.hexdigest()
