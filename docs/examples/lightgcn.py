"""LightGCN in stage one: items that the same people choose lie close together."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch_geometric.nn import LightGCN

from lkgrag.retrieval import Retriever


class LightGCNRetriever(Retriever):
    """Items embedded by who chose them; a history is the mean of its latest items."""

    name = "lightgcn"

    def __init__(self, items, latest):
        self.items, self.latest = items, latest
        self.num_items = len(items)

    @classmethod
    def fit(cls, interactions, data, device, seed, dim=32, layers=2, steps=300, latest=10):
        """Learn from pairs of a chosen and a random item."""
        users, items = interactions.num_users, interactions.num_items
        chosen = np.stack([interactions.user, interactions.item + users])
        chosen = torch.from_numpy(chosen).to(device)
        edges = torch.cat([chosen, chosen.flip(0)], 1)
        model = LightGCN(users + items, dim, layers).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(steps):
            good = chosen[:, torch.randint(chosen.shape[1], (4096,), device=device)]
            other = torch.randint(users, users + items, (4096,), device=device)
            bad = torch.stack([good[0], other])
            of_good, of_bad = model(edges, torch.cat([good, bad], 1)).chunk(2)
            loss = model.recommendation_loss(of_good, of_bad, good.unique())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            embedding = model.get_embedding(edges)[users:]
        embedding = torch.nn.functional.normalize(embedding, dim=1)
        return cls(embedding.cpu().numpy(), latest)

    def score(self, histories):
        """Inner products with the mean of each history's latest items, ``[B, I]``."""
        tastes = np.zeros((len(histories), self.items.shape[1]), np.float32)
        for row, history in enumerate(histories):
            if len(history):
                tastes[row] = self.items[history[-self.latest :]].mean(0)
        return tastes @ self.items.T

    def save(self, folder):
        """Write ``lightgcn.safetensors``."""
        items, latest = torch.from_numpy(self.items), torch.tensor(self.latest)
        tensors = {"items": items, "latest": latest}
        save_file(tensors, Path(folder) / "lightgcn.safetensors")

    @classmethod
    def load(cls, folder):
        """Read it."""
        tensors = load_file(Path(folder) / "lightgcn.safetensors")
        return cls(tensors["items"].numpy(), int(tensors["latest"]))
