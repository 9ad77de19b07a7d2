r"""Fine-tuning of the sentence encoder on choices: an item's text is to lie near that of the item chosen before it.

The loss is an in-batch softmax over :math:`e^t \cos(a, b) - \log q(b)`, where :math:`q(b)` is the share of item
:math:`b` among all targets (the logQ correction of Yi et al., RecSys 2019). Every text of a step, negatives among them, is
encoded with the weights of that step. Only the upper layers learn; what the lower ones give is computed once. Training
goes on from its checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lkgrag.text import EncoderChoice, load_encoder
from lkgrag.utils.files import atomic, read_safetensors, write_safetensors
from lkgrag.utils.progress import bar
from lkgrag.utils.repeatable import summed_in_order

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions

#: The encoder, and the upper layers of it that learn.
NAME, LAYERS = "minilm", 2
#: Pairs of a step, steps, and the largest rate.
BATCH, STEPS, RATE = 128, 200, 1e-4
#: The earlier item of a pair is one of so many before the target.
REACH = 3
#: Logarithm of the cosines' factor before training.
SCALE = math.log(20.0)
#: Steps between two checkpoints, and tokens of a batch that only encodes.
EVERY, BUDGET = 50, 8192
#: What AdamW remembers of a parameter.
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class LowerStates:
    """What the lower layers give for each text.

    Attributes:
        states: float16 ``[T, dim]``, token after token, text after text.
        ptr: int64 ``[N + 1]``, where each text begins.
    """

    states: Tensor
    ptr: Tensor

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """States float32 ``[B, L, dim]`` of some texts, and which of them are no padding, bool ``[B, L]``."""
        length = self.ptr[index + 1] - self.ptr[index]
        place = self.ptr[index][:, None] + torch.arange(int(length.max()))
        mask = torch.arange(place.shape[1]) < length[:, None]
        states = self.states[place.clamp(max=len(self.states) - 1)].float()
        return states * mask[..., None], mask


class UpperLayers(nn.Module):
    """The upper layers of a BERT, and the mean over tokens.

    Args:
        layers: of the model, in its order.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.scale = nn.Parameter(torch.tensor(SCALE))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Mean states ``[B, dim]`` of texts; see :meth:`LowerStates.batch`."""
        bias = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(states.dtype).min)
        for layer in self.layers:
            states = layer(states, bias[:, None, None])
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def split_encoder(
    texts: Sequence[str], trained: bool, seed: int
) -> tuple[LowerStates, UpperLayers]:
    """The lower layers' states of texts, and the upper layers.

    Args:
        texts: none may be empty.
        trained: whether the model has its weights; with random ones it knows words and no language.
        seed: of random weights.
    """
    encoder = load_encoder(EncoderChoice(NAME, 0))
    model: Any = encoder._model
    if not trained:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = type(model)(model.config).eval()
    layers = list(model.encoder.layer)
    rows = encoder._tokens.rows(list(texts))
    ptr = torch.tensor([0, *np.cumsum([len(r) for r in rows])])
    states = torch.zeros(int(ptr[-1]), model.config.hidden_size, dtype=torch.float16)
    kept: list[Tensor] = []
    layers[-LAYERS - 1].register_forward_hook(
        lambda _, __, out: kept.append(out[0] if isinstance(out, tuple) else out)
    )
    model.encoder.layer = nn.ModuleList(layers[:-LAYERS])
    with torch.inference_mode(), bar("lower layers, texts") as update:
        done = 0
        for index in _batches(ptr):
            longest = max(len(rows[n]) for n in index)
            ids = torch.zeros((len(index), longest), dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for place, n in enumerate(index):
                ids[place, : len(rows[n])] = torch.tensor(rows[n])
                mask[place, : len(rows[n])] = 1
            model(input_ids=ids, attention_mask=mask)
            for n, value in zip(index, kept.pop(), strict=True):
                states[ptr[n] : ptr[n + 1]] = value[: len(rows[n])].half()
            done += len(index)
            update(done, len(rows))
    # An encoder's weights are frozen, as it was loaded to encode only.
    return LowerStates(states, ptr), UpperLayers(layers[-LAYERS:]).requires_grad_(True)


@dataclass(frozen=True)
class Pairs:
    """Items that were chosen one soon after the other.

    Attributes:
        target: int64 ``[P]``.
        place: int64 ``[P]``, of the target among all interactions.
        position: int64 ``[P]``, of the target in its user's history, at least 1.
        item: int64, of all interactions.
    """

    target: NDArray[np.int64]
    place: NDArray[np.int64]
    position: NDArray[np.int64]
    item: NDArray[np.int64]

    @classmethod
    def of(cls, training: Interactions) -> Pairs:
        """All pairs of the training interactions."""
        place = np.flatnonzero(training.position > 0)
        return cls(training.item[place], place, training.position[place], training.item)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Earlier items and targets of a step, int64 ``[BATCH]`` each; every target is drawn alike."""
        chosen = rng.integers(0, len(self.target), BATCH)
        back = 1 + rng.integers(0, np.minimum(self.position[chosen], REACH))
        return self.item[self.place[chosen] - back], self.target[chosen]


def tune(
    training: Interactions, texts: Sequence[str], checkpoint: Path, seed: int, trained: bool = True
) -> NDArray[np.float32]:
    """Fine-tune the encoder on training interactions.

    Args:
        training: no interaction of any item that counts as new.
        texts: of all items; none may be empty.
        checkpoint: where the weights are kept; training goes on from there.
        seed: of the pairs and of random weights.
        trained: as of :func:`split_encoder`.

    Returns:
        Vectors of the texts, float32 ``[N, dim]``.
    """
    lower, upper = split_encoder(texts, trained, seed)
    pairs = Pairs.of(training)
    share = np.bincount(pairs.target, minlength=len(texts)) / len(pairs.target)
    log_share = torch.from_numpy(np.log(np.maximum(share, 1e-12))).float()
    optimizer = torch.optim.AdamW(upper.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    done = _restore(checkpoint, upper, optimizer, schedule)
    upper.train()
    with torch.random.fork_rng(devices=[]), bar("tune the encoder, steps") as update:
        for step in range(done, STEPS):
            # Pairs and dropout depend on the step alone, so that a resumed training is the same.
            rng = np.random.default_rng([seed, step])
            torch.manual_seed(int(rng.integers(2**62)))
            loss = _loss(upper, lower, log_share, *pairs.draw(rng))
            optimizer.zero_grad(set_to_none=True)
            with summed_in_order(loss.device):
                loss.backward()
            optimizer.step()
            schedule.step()
            update(step + 1, STEPS)
            if (step + 1) % EVERY == 0:
                _store(checkpoint, upper, optimizer, step + 1)
    return _vectors(upper.eval(), lower)


def tuned_vectors(
    training: Interactions, texts: Sequence[str], folder: Path, kind: str, seed: int
) -> NDArray[np.float32]:
    """Vectors of a fine-tuned encoder, from the folder if they are there.

    Args:
        training: as of :func:`tune`.
        texts: as of :func:`tune`.
        folder: of the vectors and of the checkpoint.
        kind: names the files; ``random`` begins with random weights, ``untrained`` keeps them.
        seed: as of :func:`tune`.
    """
    file = folder / f"tuned-{kind}.npy"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "untrained":
            lower, upper = split_encoder(texts, False, seed)
            vectors = _vectors(upper.eval(), lower)
        else:
            checkpoint = folder / f"tune-{kind}.safetensors"
            vectors = tune(training, texts, checkpoint, seed, trained=kind != "random")
        with atomic(file) as tmp, open(tmp, "wb") as out:
            np.save(out, vectors)
    return np.asarray(np.load(file), np.float32)


def _loss(
    upper: UpperLayers,
    lower: LowerStates,
    log_share: Tensor,
    earlier: NDArray[np.int64],
    target: NDArray[np.int64],
) -> Tensor:
    """Cross-entropy of the targets among the step's own, in nats."""
    needed, place = np.unique(np.concatenate([earlier, target]), return_inverse=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=_is_bf16_fast()):
        vectors = upper(*lower.batch(torch.from_numpy(needed)))
    vectors = F.normalize(vectors.float(), dim=1)
    a, b = (vectors[torch.from_numpy(p)] for p in np.split(place, 2))
    logits = a @ b.T * upper.scale.exp() - log_share[torch.from_numpy(target)]
    # The same item stands several times in a step: it is no negative of itself, nor of its own earlier item.
    same = (target[None] == target[:, None]) | (target[None] == earlier[:, None])
    np.fill_diagonal(same, False)
    logits = logits.masked_fill(torch.from_numpy(same), -1e9)
    return F.cross_entropy(logits, torch.arange(len(target)))


@torch.inference_mode()
def _vectors(upper: UpperLayers, lower: LowerStates) -> NDArray[np.float32]:
    """Vectors of all texts, float32 ``[N, dim]``."""
    out = np.zeros((len(lower.ptr) - 1, lower.states.shape[1]), np.float32)
    for index in _batches(lower.ptr):
        out[index] = upper(*lower.batch(torch.tensor(index))).float().numpy()
    return out


def _batches(ptr: Tensor) -> list[list[int]]:
    """Numbers of texts of like length, at most :data:`BUDGET` tokens together."""
    length = (ptr[1:] - ptr[:-1]).tolist()
    order, out = sorted(range(len(length)), key=lambda n: -length[n]), []
    while order:
        size = max(1, BUDGET // length[order[0]])
        out.append(order[:size])
        order = order[size:]
    return out


def _is_bf16_fast() -> bool:
    """Whether the processor multiplies bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def _store(path: Path, upper: UpperLayers, optimizer: torch.optim.Optimizer, step: int) -> None:
    tensors = {"step": torch.tensor(step)}
    for n, p in upper.named_parameters():
        tensors[f"weight.{n}"] = p.detach()
        # A parameter without a gradient, as a bias that changes nothing, has no moments.
        for key in MOMENTS if optimizer.state.get(p) else ():
            tensors[f"{key}.{n}"] = optimizer.state[p][key]
    write_safetensors(path, tensors)


def _restore(
    path: Path,
    upper: UpperLayers,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    """Continue from a checkpoint; returns the steps that are done."""
    if not path.exists():
        return 0
    tensors = read_safetensors(path)
    step = int(tensors["step"])
    for name, parameter in upper.named_parameters():
        parameter.data.copy_(tensors[f"weight.{name}"])
        moments = {k: tensors[f"{k}.{name}"] for k in MOMENTS if f"{k}.{name}" in tensors}
        if moments:
            optimizer.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    for _ in range(step):
        schedule.step()
    return step
