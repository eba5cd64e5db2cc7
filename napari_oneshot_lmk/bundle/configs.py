"""configs/inference.json and configs/train.json: the bundle's two programs."""

from __future__ import annotations

from typing import Any

from napari_oneshot_lmk.detection.model import TrainedModel
from napari_oneshot_lmk.imaging.transforms import BRIGHTEST_PERCENT, DARKEST_PERCENT

LOGGING_CONF = """[loggers]
keys=root

[handlers]
keys=console

[formatters]
keys=line

[logger_root]
level=INFO
handlers=console

[handler_console]
class=StreamHandler
level=INFO
formatter=line
args=(sys.stderr,)

[formatter_line]
format=%(levelname)s %(message)s
"""


def inference(model: TrainedModel) -> dict[str, Any]:
    """Return the program that finds landmarks with MONAI alone.

    Preparation is that of `imaging.transforms.prepare_image`, in MONAI's words.
    """
    rows, columns = model.template.image.geometry.network_shape_yx
    return {
        "imports": ["$import torch", "$import scripts", "$from scripts import images"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/eval'",
        "slice_index": None,
        "spacing_mm": None,
        # What was recorded on the processor computes there.
        "device": "$torch.device('cpu')",
        "network_shape_yx": [rows, columns],
        "network_def": "$torch.jit.load(@bundle_root + '/models/model.ts', map_location=@device)",
        "network": "$@network_def.to(@device).eval()",
        "datalist": "$images.find_images(@dataset_dir)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {
                    "_target_": "LoadImaged",
                    "keys": "image",
                    "image_only": True,
                    "reader": "$images.PlaneReader(@slice_index, @spacing_mm)",
                },
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {
                    "_target_": "Lambdad",
                    "keys": "image",
                    "func": "$lambda image: torch.nn.functional.interpolate("
                    "image[None], tuple(@network_shape_yx), mode='bilinear', "
                    "align_corners=False, antialias=True)[0]",
                },
                {
                    "_target_": "ScaleIntensityRangePercentilesd",
                    "keys": "image",
                    "lower": DARKEST_PERCENT,
                    "upper": BRIGHTEST_PERCENT,
                    "b_min": 0.0,
                    "b_max": 1.0,
                    "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
            ],
        },
        "dataset": {
            "_target_": "scripts.images.ReadableDataset",
            "data": "@datalist",
            "transform": "@preprocessing",
            "shape_yx": "@network_shape_yx",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": 1,
            "shuffle": False,
            "num_workers": 0,
        },
        "inferer": {"_target_": "SimpleInferer"},
        "table": {
            "_target_": "scripts.points_table.PointsTable",
            "bundle_root": "@bundle_root",
            "output_dir": "@output_dir",
        },
        "handlers": ["@table"],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "val_handlers": "@handlers",
            "decollate": True,
        },
        "initialize": ["$torch.set_grad_enabled(False)"],
        "run": ["$scripts.points_table.run(@evaluator, len(@datalist))", "$@table.finish()"],
    }


def training(model: TrainedModel) -> dict[str, Any]:
    """Return the program that trains the same kind of model on other images.

    It needs this package, as the network does that it defines for ``ckpt_export``.
    """
    card = model.card
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/images'",
        "output_dir": "$@bundle_root + '/run'",
        "device": "$'cuda' if torch.cuda.is_available() else 'cpu'",
        "template_dir": "$@bundle_root + '/template'",
        "method": card.method,
        "preset": card.training.preset or "laptop",
        "max_epochs": None,
        "seed": card.training.seed,
        "encoder_weights": "$@bundle_root + '/models/model.pt'",
        "network_def": {
            "_target_": "napari_oneshot_lmk.bundle.opening.point_network",
            "folder": "@bundle_root",
        },
        "trainer": {
            "_target_": "napari_oneshot_lmk.bundle.trainer.BundleTrainer",
            "bundle_root": "@bundle_root",
            "template_dir": "@template_dir",
            "dataset_dir": "@dataset_dir",
            "output_dir": "@output_dir",
            "method": "@method",
            "preset": "@preset",
            "max_epochs": "@max_epochs",
            "seed": "@seed",
            "device": "@device",
        },
        "run": ["$@trainer.run()"],
    }
