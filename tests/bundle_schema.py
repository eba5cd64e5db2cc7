"""What the MONAI bundle specification asks of metadata.json, as a JSON schema."""

from __future__ import annotations

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
TENSOR = {
    "type": "object",
    "required": [
        *("type", "format", "num_channels", "spatial_shape", "dtype"),
        *("value_range", "is_patch_data", "channel_def"),
    ],
    "properties": {
        "type": {"enum": ["image", "series", "tuples", "probabilities"]},
        "format": TEXT,
        "modality": TEXT,
        "num_channels": NUMBER,
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
        "dtype": TEXT,
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "additionalProperties": TEXT},
    },
}
TENSORS = {"type": "object", "additionalProperties": TENSOR, "minProperties": 1}
SCHEMA = {
    "type": "object",
    "required": [
        *("version", "monai_version", "pytorch_version", "numpy_version", "task"),
        *("required_packages_version", "description", "authors", "copyright"),
        "network_data_format",
    ],
    "properties": {
        **dict.fromkeys(
            (
                *("version", "monai_version", "pytorch_version", "numpy_version"),
                *("task", "description", "authors", "copyright", "intended_use"),
                *("data_source", "data_type", "name", "schema"),
            ),
            TEXT,
        ),
        "changelog": {"type": "object", "additionalProperties": TEXT},
        "required_packages_version": {"type": "object", "additionalProperties": TEXT},
        "references": {"type": "array", "items": TEXT},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": TENSORS, "outputs": TENSORS},
        },
    },
}
