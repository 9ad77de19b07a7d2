"""Fusion: one retriever made of several, and the weights of its systems."""
