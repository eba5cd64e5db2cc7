"""The description of a model's fine stage, as in its ``model.json``."""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator

from napari_oneshot_lmk.network.crop_config import STRIDE, CropNetworkConfig


class FineCard(BaseModel, frozen=True):
    """What a `FineStage` is built from, beside the parameters of its network."""

    landmarks: tuple[str, ...] = Field(min_length=1)
    shares: tuple[float, ...]
    """For each landmark the weight of what the fine stage sees; the rest is that of the point
    before."""
    pixel: float = Field(gt=0)
    """Side of a crop's pixel: millimetres, or pixels of the template if its spacing is unknown."""
    side: int = Field(ge=STRIDE, le=1024, multiple_of=STRIDE)
    """Of a crop, in its pixels."""
    factors: tuple[int, ...] = Field(default=(1, 3), min_length=1)
    """How many times larger the pixels of each channel are."""
    looks: int = Field(default=2, ge=1, le=10)
    coarse_sd_px: float = Field(default=0.0, ge=0)
    """Spread of the error that the point before is taken to have, in pixels of a crop, by which
    it weighs the places that the fine stage sees. 0, and so in older models: they are not
    weighed."""
    window: int = Field(default=9, ge=1, le=101)
    """Cells around the peak whose mean place is the point."""
    target_sds_px: tuple[float, ...] = ()
    """For each landmark the spread of its target at the end of the training, in pixels of a crop;
    detection does not need it, and older models have none."""
    network: CropNetworkConfig

    @model_validator(mode="after")
    def _check_sizes(self) -> FineCard:
        named = len(self.landmarks) == len(self.shares) == self.network.landmarks
        whole = self.side % (STRIDE * self.network.cell) == 0
        magnified = len(self.factors) == self.network.scales and min(self.factors) >= 1
        if (
            not named
            or not whole
            or not magnified
            or self.window % 2 == 0
            or self.window > self.side
        ):
            raise ValueError("the sizes do not fit together")
        if not all(0 <= share <= 1 for share in self.shares):
            raise ValueError("a share is not within 0 to 1")
        return self
