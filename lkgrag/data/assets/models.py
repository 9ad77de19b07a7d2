"""Where the files of a model are, its tokenizer, and why a model cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.data.assets.fetching import is_offline
from lkgrag.data.assets.store import ENCODERS, MODELS, fetch_encoder, fetch_model
from lkgrag.errors import ModelError, nearest
from lkgrag.utils.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: The option that names the language model.
LLM = "llm.name"
#: Files of which a tokenizer folder has at least one.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt")
SENTENCEPIECE = "tokenizer.model"
#: A hub name that a message gives as an example, by option.
EXAMPLES = {LLM: "meta-llama/Llama-2-7b-hf"}
OTHER_EXAMPLE = "sentence-transformers/all-mpnet-base-v2"


def locate(name: str, option: str = LLM) -> str:
    """The folder or hub name that an option stands for.

    Args:
        name: the option's value.
        option: its name; all but ``llm.name`` take the built-in encoders too.

    Raises:
        ModelError: it looks like a built-in model or a folder, but there is none.
        AssetError: a built-in model could not be fetched.
    """
    encoders = [] if option == LLM else list(ENCODERS)
    if name in MODELS:
        return str(fetch_model(name))
    if name in encoders:
        return str(fetch_encoder(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{option}={name}: the folder holds no config.json, so no model")
        return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        built_in = [*encoders, *MODELS]
        raise ModelError(
            f"{option}={name}: no such folder and no built-in model.{nearest(name, built_in)} There "
            f"are: {', '.join(built_in)}; or a hub name, as {EXAMPLES.get(option, OTHER_EXAMPLE)}"
        )
    return name


def load_tokenizer(where: str, option: str = LLM) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or a hub name.

    A folder that holds only SentencePiece's ``tokenizer.model``, as Llama 2's does, is read as a
    ``LlamaTokenizer`` that puts its start token before every text. ``AutoTokenizer`` would cut text in other
    tokens.

    Args:
        where: folder or hub name.
        option: that names the model.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    # Heavy: importing this room must stay quick.
    from transformers import AutoTokenizer, LlamaTokenizer

    folder = Path(where)
    bare = False
    if folder.is_dir():
        has_files = any((folder / name).is_file() for name in TOKENIZER_FILES)
        bare = (folder / SENTENCEPIECE).is_file() and not (folder / "tokenizer.json").is_file()
        if not has_files and not bare:
            raise ModelError(
                f"{option}={where}: the folder holds no tokenizer; copy tokenizer.json or "
                f"{SENTENCEPIECE} of the model into it"
            )
    try:
        with quiet():
            local: dict[str, Any] = {"local_files_only": is_offline()}
            if bare and not _other_class(folder):
                return LlamaTokenizer.from_pretrained(where, add_bos_token=True, **local)
            return AutoTokenizer.from_pretrained(where, **local)
    except Exception as error:  # the hub's client and the tokenizers raise many kinds
        raise explain_failure(where, "tokenizer", error, option) from error


def _other_class(folder: Path) -> bool:
    """Whether a tokenizer's configuration names another class than Llama's."""
    try:
        named = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "Llama" not in str(named.get("tokenizer_class") or "Llama")


def explain_failure(where: str, what: str, error: Exception, option: str = LLM) -> ModelError:
    """One line that says why a model cannot be loaded, and what to do.

    Args:
        where: folder or hub name.
        what: which part of it cannot be loaded.
        error: what the libraries raised.
        option: that names the model.
    """
    text = " ".join(str(error).split())
    lower = text.lower()
    if not Path(where).is_dir():
        built_in = [*([] if option == LLM else ENCODERS), *MODELS]
        if "gated" in lower or "401" in lower or "403" in lower:
            advice = "it needs an accepted licence and `hf auth login`"
        elif any(w in lower for w in ("connect", "offline", "resolve", "network", "timed out")):
            advice = (
                "the hub cannot be reached and the model is not in its cache: give a local folder, or "
                f"a built-in model ({', '.join(built_in)})"
            )
        else:
            advice = f"no such model of the hub?{nearest(where, built_in)} {text[:160]}"
        return ModelError(f"{option}={where}: {advice}")
    return ModelError(f"{option}={where}: the {what} cannot be loaded ({text[:200]})")
