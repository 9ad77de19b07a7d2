"""Encoders: texts to vectors, by the hidden states of a transformer."""

from lkgrag.text.encoders.base import TextEncoder
from lkgrag.text.encoders.hidden_states import HiddenStateEncoder
from lkgrag.text.encoders.resolver import EncoderChoice, check_encoder, load_encoder

__all__ = ["EncoderChoice", "HiddenStateEncoder", "TextEncoder", "check_encoder", "load_encoder"]
