"""DINO's ViT-S/8 as FM-OSD reads it: keys of one block, at stride 4, with their neighbours.

The weights are the user's own file: DINO's ``dino_deitsmall8_pretrain.pth``, or the same
parameters as safetensors (Caron et al., ICCV 2021). Descriptors after Amir et al., Deep ViT
Features as Dense Visual Descriptors (arXiv 2112.05814).
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_oneshot_lmk.encoders.vgg19 import IMAGENET
from napari_oneshot_lmk.errors import WeightsError

CHANNELS, HEADS, PATCH, STRIDE = 384, 6, 8, 4
BLOCKS = 9
"""That run: FM-OSD reads the keys of the ninth of twelve."""
TRAINED_GRID = 28
"""Patches along a side of the images that DINO was trained on."""
_REMEDY = "give DINO's ViT-S/8 with --dino-weights, as dino_deitsmall8_pretrain.pth"


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.proj = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix (B, T, C) tokens."""
        three = self.qkv(tokens).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*three)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class Block(nn.Module):
    """A block of the transformer, with the names of DINO's parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(CHANNELS, eps=1e-6)
        self.attn = Attention()
        self.norm2 = nn.LayerNorm(CHANNELS, eps=1e-6)
        layers = {"fc1": nn.Linear(CHANNELS, 4 * CHANNELS), "act": nn.GELU()}
        self.mlp = nn.Sequential()
        for name, layer in (layers | {"fc2": nn.Linear(4 * CHANNELS, CHANNELS)}).items():
            self.mlp.add_module(name, layer)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform (B, T, C) tokens."""
        tokens = tokens + self.attn(self.norm1(tokens))
        changed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return changed

    def keys(self, tokens: Tensor) -> Tensor:
        """Return the keys (B, T, C) of all heads."""
        keys: Tensor = self.attn.qkv(self.norm1(tokens))[..., CHANNELS : 2 * CHANNELS]
        return keys


class DinoKeys(nn.Module):
    """Frozen ViT-S/8, up to the keys of its ninth block."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, CHANNELS))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + TRAINED_GRID**2, CHANNELS))
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("proj", nn.Conv2d(3, CHANNELS, PATCH, stride=STRIDE))
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.register_buffer("mean", torch.tensor(IMAGENET.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET.std).view(3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: Path | None) -> DinoKeys:
        """Read the parameters from a file; a WeightsError says why that is not possible."""
        if path is None:
            what = "FM-OSD reads DINO's ViT-S/8, which does not come with this project"
            raise WeightsError(what, remedy=_REMEDY)
        encoder = cls()
        read = _read(path)
        wanted = encoder.state_dict()
        for name, value in wanted.items():
            if name not in read or read[name].shape != value.shape:
                raise WeightsError(f"no {name} of ViT-S/8", file=path, remedy=_REMEDY)
        encoder.load_state_dict({name: read[name].float() for name in wanted})
        return encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return keys (B, 384, h, w) of grey images (B, 1, H, W) in 0..1."""
        cells = self.patch_embed((images - self.mean) / self.std)
        positions = self.pos_embed[:, 1:].mT.reshape(1, CHANNELS, TRAINED_GRID, TRAINED_GRID)
        positions = F.interpolate(positions, cells.shape[-2:], mode="bicubic")
        tokens = (cells + positions).flatten(2).mT
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(tokens), -1, -1)
        tokens = torch.cat([first, tokens], 1)
        *before, last = self.blocks
        for block in before:
            tokens = block(tokens)
        assert isinstance(last, Block)
        return last.keys(tokens)[:, 1:].mT.reshape(cells.shape)


def with_neighbours(maps: Tensor) -> Tensor:
    """Return (B, 17 C, h, w) of (B, C, h, w) maps: each cell with those around it.

    Itself and its eight neighbours, then eight averages of 3 x 3 cells, three cells away. At
    the border the last cell stands for those beyond.
    """
    near = F.pad(maps, (1,) * 4, mode="replicate")
    average = F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    far = F.pad(average, (3,) * 4, mode="replicate")
    height, width = maps.shape[-2:]
    read = []
    for reach, padded in ((1, near), (3, far)):
        for down in (0, reach, 2 * reach):
            for right in (0, reach, 2 * reach):
                if reach == 1 or (down, right) != (reach, reach):
                    read.append(padded[..., down : down + height, right : right + width])
    return torch.cat(read, 1)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        read = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise WeightsError("it cannot be read as weights", file=path, remedy=_REMEDY) from error
    if not isinstance(read, Mapping):
        raise WeightsError("it is not a table of parameters", file=path, remedy=_REMEDY)
    return read
