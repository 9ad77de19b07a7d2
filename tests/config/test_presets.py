"""The shipped presets."""

from lkgrag.config.loading import load_config, presets


def test_every_preset_is_a_configuration():
    for name in presets():
        assert load_config({"preset": name}).preset == name
    both = load_config({"preset": "reference,llama-2-7b"})
    assert both.llm.quantization == "nf4"
    assert both.prompt.verbaliser == "reference"
    beauty = load_config({"preset": "reference-beauty"})
    assert (beauty.prompt.max_title, beauty.scorer.kwargs) == (10, {"dim": 512})
    # Another scorer is not given the preset's options of its own.
    relations = load_config({"preset": "reference-beauty", "scorer.name": "shortest"})
    assert relations.scorer.kwargs == {}
    kept = load_config({"preset": "reference-beauty", "scorer.kwargs": "{dropout: 0.1}"})
    assert kept.scorer.kwargs == {"dim": 512, "dropout": 0.1}
