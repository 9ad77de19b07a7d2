"""Options as others may see them."""

import pytest

from lkgrag.config import Config
from lkgrag.config.fields import config_fields
from lkgrag.config.identity import to_dict
from lkgrag.config.public import MASK, public_config


def test_every_option_that_names_a_place_has_its_default():
    places = [key for key, f in config_fields() if f.metadata["path"]]
    config = Config()
    for key in places:
        section, _, name = key.rpartition(".")
        setattr(getattr(config, section) if section else config, name, "/home/me/x")
    assert len(places) >= 4
    assert to_dict(public_config(config)) == to_dict(Config())
    assert config.out == "/home/me/x"


def test_defaults_stay():
    assert to_dict(public_config(Config())) == to_dict(Config())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/me/llama", "llama"),
        ("/home/me/llama/", "llama"),
        ("~/llama", "llama"),
        ("./llama", "llama"),
        ("D:\\me\\llama", "llama"),
        ("owner/llama", "owner/llama"),
        ("smollm2-135m", "smollm2-135m"),
        ("module:Class", "module:Class"),
        ("m:Class", "m:Class"),
        ("/", "/"),
    ],
)
def test_places_within_texts(name, shown):
    config = Config()
    config.llm.name = name
    assert public_config(config).llm.name == shown


def test_a_folder_that_is_there_is_a_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "llama").mkdir(parents=True)
    config = Config()
    config.llm.name = "models/llama"
    assert public_config(config).llm.name == "llama"


def test_secrets_are_masked_within_keyword_arguments_alone():
    config = Config()
    config.retrieval.kwargs = {"x": {"api_key": "geheim", "deep": {"password": ["geheim"]}, "k": 3}}
    config.data.columns = {"user": "token"}
    found = public_config(config)
    assert found.retrieval.kwargs == {"x": {"api_key": MASK, "deep": {"password": MASK}, "k": 3}}
    assert found.data.columns == {"user": "token"}
    assert config.retrieval.kwargs["x"]["api_key"] == "geheim"
