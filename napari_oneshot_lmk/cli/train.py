"""``oneshot-lmk train``: learns landmarks from a template and unlabelled images."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_oneshot_lmk.cli.console import (
    clock,
    print_error,
    print_json,
    print_line,
    print_warning,
    training_bar,
)
from napari_oneshot_lmk.cli.errors import (
    ExitCode,
    Interrupts,
    handle_errors,
    main_process_reports,
    two_step_interrupts,
)
from napari_oneshot_lmk.cli.options import (
    AsJson,
    Backend,
    Overwrite,
    Scheduler,
    Workers,
    option,
    spacing_from,
)
from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.config import TrainingConfig, option_of
from napari_oneshot_lmk.training.preset import Preset

if TYPE_CHECKING:
    from napari_oneshot_lmk.training.distributed.group import ProcessGroup
    from napari_oneshot_lmk.training.events import Event, Finished


_TYPED_AS: dict[Any, Any] = {
    tuple[str, ...]: list[str] | None,
    tuple[float, float] | None: str | None,
    Preset | str: str | None,
}
"""What is typed for a field whose own type no option can have."""


def _option_parameter(name: str) -> inspect.Parameter:
    """Return the parameter of a command that is the option of a field."""
    field, named = TrainingConfig.model_fields[name], option_of(name)
    extra: Any = field.json_schema_extra
    typed = _TYPED_AS.get(field.annotation)
    if field.default is True:
        named = f"{named}/--no-{str(named)[2:]}"
    metavar = extra.get("metavar") or "|".join(extra.get("choices", ())) or None
    info = typer.Option(named, metavar=metavar, help=field.description)
    default, kind = None if typed else field.default, inspect.Parameter.KEYWORD_ONLY
    annotation: Any = Annotated[typed or field.annotation, info]
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _with_config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Put the options of `TrainingConfig` in the place of a command's ``**settings``."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
        if parameter.name == "out":
            names = filter(option_of, TrainingConfig.model_fields)
            parameters += [_option_parameter(name) for name in names]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _config_from(settings: Mapping[str, Any]) -> TrainingConfig:
    given = {name: value for name, value in settings.items() if value is not None}
    if "spacing_mm_yx" in given:
        given["spacing_mm_yx"] = spacing_from(given["spacing_mm_yx"])
    return TrainingConfig(**given)


@_with_config_options
@handle_errors
def train_model(
    template: Annotated[Path, option("FOLDER", "The template.")],
    images: Annotated[
        list[str],
        option("DIR", "Images without landmarks: folder, file or pattern; may be repeated."),
    ],
    out: Annotated[
        Path, option("RUN", "Folder of this training. One that was interrupted goes on.")
    ],
    preview: Annotated[
        list[Path] | None,
        option("IMAGE", "Find the landmarks on it after each epoch; may be repeated."),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    lost_after: Annotated[
        float,
        option(
            "SECONDS",
            "Under torchrun: without an answer for so long, a process counts as "
            "lost and the others end.",
            min=1.0,
        ),
    ] = 600.0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Train a model for “oneshot-lmk detect --model RUN”.

    Ctrl-C stops and keeps the best model so far; twice quits at once. The same
    command again goes on with a training that did not come to its end. With
    --method single, --workers and --scheduler train landmarks side by side.

    Started by torchrun, its processes train one network together, a GPU each.
    """
    from napari_oneshot_lmk.imaging.find import find_images
    from napari_oneshot_lmk.landmarks.template import Template
    from napari_oneshot_lmk.training.distributed.torchrun import group_from_environment

    group = group_from_environment()
    with main_process_reports(group):
        backend = Backend.asked(workers, scheduler)
        config = _config_from(settings)
        _check_shared(backend, group, config.method)
        own_device = group.device(config.device)
        annotated, files = Template.load(template), find_images(images, tell=print_warning)
        config = config.resolved(annotated, lambda: _is_gpu(own_device))

        def start(**more: Any) -> Iterator[Event]:
            from napari_oneshot_lmk.training.train import train

            more |= {"previews": tuple(preview or ()), "overwrite": overwrite, "group": group}
            return train(annotated, files, out, config, **more)

        with two_step_interrupts() as interrupts:
            try:
                with group.connected(own_device, lost_after):
                    events = _followed(start, config, interrupts, group, backend)
            except KeyboardInterrupt:
                if group.is_main:
                    print_error(
                        "Stopped at once; the same command goes on from where it was saved."
                    )
                raise typer.Exit(ExitCode.INTERRUPTED) from None
    _conclude(out, config, events, interrupts, group, as_json)


def _is_gpu(device: str) -> bool:
    # Loads torch; all else that can be refused at once has been by now.
    from napari_oneshot_lmk.encoders.device import resolve_device

    return resolve_device(device).type == "cuda"


def _check_shared(backend: Backend | None, group: ProcessGroup, method: str) -> None:
    from napari_oneshot_lmk.training.methods import find_method

    if backend is None:
        return
    if not find_method(method).per_landmark:
        raise UsageError(
            f"the method {method} trains one network, which workers cannot share",
            remedy="use --method single, or train without --workers and --scheduler",
        )
    if group.size > 1:
        what = "--workers and --scheduler were given under torchrun"
        raise UsageError(what, remedy="start the command without torchrun")


def _followed(
    start: Callable[..., Iterator[Event]],
    config: TrainingConfig,
    interrupts: Interrupts,
    group: ProcessGroup,
    backend: Backend | None,
) -> list[Event]:
    """Train, show how far it is, and return what a summary needs."""
    from napari_oneshot_lmk.training.events import Previewed, Stepped

    if not group.is_main:
        return list(_heeding(start(should_stop=lambda: interrupts.asked), interrupts))
    models = config.landmarks if config.training_method.per_landmark else ("",)
    kept: list[Event] = []
    told = False
    with training_bar(models) as (show, fetching):
        strategy = backend and backend.strategy(config.encoder_weights, config.device)
        events = start(should_stop=lambda: interrupts.asked, fetching=fetching, strategy=strategy)
        for event in _heeding(events, interrupts):
            if interrupts.asked and not told:
                told = True
                print_warning("Stopping, the best model is kept; Ctrl-C again quits at once.")
            show(event)
            if not isinstance(event, Stepped | Previewed):
                kept.append(event)
    return kept


def _heeding(events: Iterator[Event], interrupts: Interrupts) -> Iterator[Event]:
    """From the first event on, Ctrl-C lets the training end and keep its best model."""
    for event in events:
        interrupts.worth_ending = True
        yield event


def _conclude(
    out: Path,
    config: TrainingConfig,
    events: list[Event],
    interrupts: Interrupts,
    group: ProcessGroup,
    as_json: bool,
) -> None:
    from napari_oneshot_lmk.training.events import EpochEnded, Failed, Finished, Noted

    end = events[-1] if events else Failed("The training ended without a word.")
    if as_json and group.is_main:
        print_json(
            {
                "run": str(out),
                "method": config.method,
                "landmarks": list(config.landmarks),
                "finished": asdict(end) if isinstance(end, Finished) else None,
                "failed": end.sentence if isinstance(end, Failed) else None,
                "epochs": [asdict(e) for e in events if isinstance(e, EpochEnded)],
                "notes": [e.text for e in events if isinstance(e, Noted)],
            }
        )
    elif isinstance(end, Finished) and group.is_main:
        _print_end(out, config, end, again=len(events) == 1)
    if isinstance(end, Failed) and group.is_main:
        print_error(end.sentence)
    if interrupts.asked:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if isinstance(end, Failed):
        raise typer.Exit(ExitCode.FAILED)


def _print_end(out: Path, config: TrainingConfig, end: Finished, *, again: bool) -> None:
    count = len(config.landmarks)
    landmarks = "one landmark" if count == 1 else f"{count} landmarks"
    how = "stopped early, " if end.stopped else ""
    if not config.training_method.per_landmark or count == 1:
        how += f"epoch {end.epoch} kept, "
    if again:
        print_line(
            f"{out} has finished already; --overwrite begins anew and keeps its "
            "model until there is a new one."
        )
    print_line(f"{out / 'model'}: {landmarks}, {how}trained for {clock(end.seconds)}")
    command = shlex.join(["oneshot-lmk", "detect", "--model", str(out)])
    print_line(f"To use it: {command} --out found.csv IMAGES")
