"""Where the weights of an encoder lay when a model was trained on it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class WeightsOrigin(BaseModel):
    """What a model remembers of its encoder's weights.

    The hash is that of the content, not of the file: it survives a copy, another
    name and another file format.

    Parameters
    ----------
    sha256 : str
        Hash of the parameters' content; see `parameters.content_sha256`.
    path : str
        Absolute path of the file; empty where they came from no file.
    given : str
        The path as the user wrote it; empty where the weights were looked for.
    source : str
        Address that they were fetched from; empty where it is not known.
    packed_sha256 : str
        Hash of the content that lies beside the model, in half precision; empty
        where none does.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    sha256: str
    path: str = ""
    given: str = ""
    source: str = ""
    packed_sha256: str = ""
