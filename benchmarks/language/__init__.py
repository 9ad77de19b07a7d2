"""What text and language models add, measured: new items, unseen relations, other catalogues."""
