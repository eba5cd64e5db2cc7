"""What belongs to one landmark alone: Conv-A_k and RFB-A_k (paper, Figure 2)."""

from __future__ import annotations

from torch import nn

from napari_oneshot_lmk.network.conv_norm import Block
from napari_oneshot_lmk.network.decoder import DoubleConv
from napari_oneshot_lmk.network.layout import LEVELS, NetworkLayout, Normalisation
from napari_oneshot_lmk.network.rfb import RFB


class AdapterConv(DoubleConv):
    """Conv-A_k: a landmark's own narrow `DoubleConv` beside the shared one.

    It reads what the shared one reads, and its C_A channels are concatenated to the
    shared ones (paper, equations 1 and 3).

    Parameters
    ----------
    given, made : int
        Channels; ``made`` is C_A.
    normalisation : {"batch", "none"}
        It is its own landmark's anyway.
    """

    def __init__(self, given: int, made: int, normalisation: Normalisation = "batch") -> None:
        super().__init__(given, made, normalisation)


class AdapterRFB(RFB):
    """RFB-A_k: a landmark's own narrow `RFB` beside the shared one (equation 4).

    Parameters
    ----------
    given, made : int
        Channels; ``made`` is C_A.
    normalisation : {"batch", "none"}
        It is its own landmark's anyway.
    """

    def __init__(self, given: int, made: int, normalisation: Normalisation = "batch") -> None:
        super().__init__(given, made, normalisation)


class Adapter(nn.Module):
    """All adapters of one landmark.

    Parameters
    ----------
    layout : NetworkLayout
        Of the network that it belongs to; C_A is above 0.
    """

    def __init__(self, layout: NetworkLayout) -> None:
        super().__init__()
        own: Normalisation = "none" if layout.normalisation == "none" else "batch"
        made = layout.adapter_channels
        self.convs = nn.ModuleDict(
            {
                f"level{level}": AdapterConv(layout.joined_channels(level), made, own)
                for level in LEVELS[:-1]
            }
        )
        self.rfbs = nn.ModuleDict(
            {
                f"level{level}": AdapterRFB(layout.decoded_channels(level), made, own)
                for level in layout.rfb_levels
            }
        )

    def conv(self, level: int) -> Block:
        """Return Conv-A_k of a level from 1 to 4."""
        conv = self.convs[f"level{level}"]
        assert isinstance(conv, AdapterConv)
        return conv

    def rfb(self, level: int) -> Block:
        """Return RFB-A_k of a level from 3 to 5."""
        rfb = self.rfbs[f"level{level}"]
        assert isinstance(rfb, AdapterRFB)
        return rfb
