"""segue info: what is in a model file."""

from pathlib import Path
from typing import Annotated, Any

import typer

from segue.cli.console import answer, answer_json, columns, judged_on, scores_of
from segue.normalize import Normalization
from segue.units import format_duration


def info(
    model: Annotated[Path, typer.Argument(help="A model that 'segue train' wrote.")],
    json: Annotated[bool, typer.Option("--json", help="Answer with the whole header as JSON.")] = False,
) -> None:
    """Show what a model is, how it was trained and how well it did. Its checksum is verified."""
    from segue.model.file import read_model
    from segue.model.geometry import axis_geometries

    file = read_model(model)
    header = file.header
    if json:
        answer_json(header.model_dump(mode="json"))
        return
    network = header.network
    parameters = sum(parameter.numel() for parameter in file.network.parameters())
    geometry = axis_geometries(network)[0]
    rows = [
        (
            "network",
            f"{network.spatial_axes}D, width {network.width}, {network.depth} poolings, {parameters:,} parameters",
        ),
        ("padding", f"{network.padding}, receptive-field radius {geometry.radius} px"),
        (
            "input",
            f"{network.channels} channel{'s' if network.channels > 1 else ''}"
            + (", red green blue" if header.rgb else ""),
        ),
        ("intensities", _kinds(header.normalization)),
        (header.kind, ", ".join(header.classes)),
        ("maps besides", ", ".join(header.auxiliary) or "none"),
    ]
    if header.pixel_size:
        rows.append(("pixel size", " x ".join(f"{size:g}" for size in header.pixel_size) + f" {header.unit}"))
    training = header.training
    if training:
        rows.append(
            (
                "training",
                f"{training['steps']:,} steps in {format_duration(training['seconds'])}, Segue {header.segue}",
            )
        )
        if machine := training.get("machine"):  # models of 0.1.0 do not say
            rows.append(("trained on", _machine(machine)))
    answer(columns(rows))
    summary = training.get("validation")
    if summary:
        answer(judged_on(summary))
        answer(columns(scores_of(summary, list(summary["metrics"]))))


def _machine(machine: dict[str, Any]) -> str:
    """Such as "processor (AVX512), 2 threads, bf16"; processes are named where there were several."""
    several = f"{machine['processes']} processes of " if machine["processes"] > 1 else ""
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    return f"{machine['device']}, {several}{threads}, {machine['precision']}"


def _kinds(normalization: Normalization) -> str:
    """The kind of all channels, or that of each."""
    each = [f"channel {number} {kind}" for number, kind in enumerate(normalization.kinds)]
    return ", ".join(each) or normalization.kind
