"""Time VGG19's forward pass in other runtimes: whether one is worth being installed.

::

    pip install openvino onnx onnxruntime
    python scripts/compare_runtimes.py --encoder-weights FILE [--rounds N]

PyTorch as shipped, in float32 and compiled, OpenVINO and ONNX Runtime; what is not installed is
left out. By turns in one run, medians; the error is that of the worst map, relative to float32.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from napari_oneshot_lmk.encoders.vgg19 import VGG19Encoder
from napari_oneshot_lmk.encoders.weights_file import EncoderWeights, read_weights
from napari_oneshot_lmk.geometry import NETWORK_SHAPE_YX

WARM_UP = 2
Run = Callable[[], Iterable[Tensor]]


class Forward(nn.Module):
    """The encoder's arithmetic as other runtimes read it: one tensor in, the maps out."""

    def __init__(self, encoder: VGG19Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        # Their own copies are written to nowhere else.
        for layer in encoder.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of (B, 1, H, W) images, fine to coarse."""
        return self.encoder(images).maps


def build(weights: EncoderWeights, precision: Any) -> VGG19Encoder:
    """Return an encoder of its own, in one precision."""
    parameters = {name: value.clone() for name, value in weights.parameters.items()}
    return VGG19Encoder(
        parameters, weights.normalisation, precision=precision, weights_sha256=weights.sha256
    )


def runtimes(weights: EncoderWeights, images: Tensor, threads: int) -> dict[str, Run]:
    """Return the ways to compute, by what they are called."""
    runs: dict[str, Run] = {}
    for precision in ("auto", "float32"):
        encoder = build(weights, precision)
        runs[f"PyTorch, {str(encoder.features[0].weight.dtype).removeprefix('torch.')}"] = (
            lambda encoder=encoder: encoder(images).maps
        )
    runs["PyTorch, compiled"] = _compiled(build(weights, "auto"), images)
    plain = Forward(build(weights, "float32"))
    for name, add in (("OpenVINO", _openvino), ("ONNX Runtime", _onnx)):
        try:
            runs |= add(plain, images, threads)
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return runs


def _compiled(encoder: VGG19Encoder, images: Tensor) -> Run:
    started = time.perf_counter()
    compiled = torch.compile(Forward(encoder))
    compiled(images)
    print(f"torch.compile takes {time.perf_counter() - started:.0f} s")
    run: Run = lambda: compiled(images)  # noqa: E731
    return run


def _openvino(plain: Forward, images: Tensor, threads: int) -> dict[str, Run]:
    import openvino

    model = openvino.convert_model(plain, example_input=images)
    runs: dict[str, Run] = {}
    for precision in ("bf16", "f32"):
        hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(model, "CPU", hints)
        runs[f"OpenVINO, {precision}"] = lambda compiled=compiled: map(
            torch.from_numpy, compiled([images.numpy()]).values()
        )
    return runs


def _onnx(plain: Forward, images: Tensor, threads: int) -> dict[str, Run]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        torch.onnx.export(plain, (images,), str(path), dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return {
        "ONNX Runtime, f32": lambda: map(
            torch.from_numpy, session.run(None, {name: images.numpy()})
        )
    }


def main() -> None:
    """Print time and error of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder-weights", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    # Smooth, as radiographs are.
    coarse = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(coarse, NETWORK_SHAPE_YX, mode="bilinear")
    runs = runtimes(read_weights(chosen.encoder_weights), images, chosen.threads)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(WARM_UP + chosen.rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            list(run())
            if number >= WARM_UP:
                times[name].append(time.perf_counter() - started)
    exact = [each.float() for each in runs["PyTorch, float32"]()]
    shipped = median(next(iter(times.values())))
    print("| runtime | ms | in units of the shipped | relative error |\n|---|---|---|---|")
    for name, run in runs.items():
        found = [each.float() for each in run()]
        errors = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
        took = median(times[name])
        print(f"| {name} | {1e3 * took:.0f} | {took / shipped:.2f} | {max(errors):.0e} |")


if __name__ == "__main__":
    main()
