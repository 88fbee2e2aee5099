"""Pictures of maps beside the image they are of; only of simulated images, which may be shown to anyone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from xiqa.datasets.groups import members
from xiqa.errors import ConfigError
from xiqa.experiments.cases import Case, Loaded
from xiqa.experiments.networks import NetworkState, layers_of
from xiqa.experiments.recipe import Gallery
from xiqa.experiments.run import Plan
from xiqa.geometry import Box, Frame, Point
from xiqa.models.bundle import LoadedModel
from xiqa.report.contact_sheet import contact_sheet
from xiqa.report.overlay import overlay_picture
from xiqa.saliency.engine import explain
from xiqa.saliency.peaks import peak
from xiqa.saliency.placing import on_input
from xiqa.types import Finding, Image, SaliencyMap

__all__ = ["draw_gallery"]

CELL = 250


def draw_gallery(planned: Plan, spec: Gallery, path: Path) -> bool:
    """Draw one gallery and write it, where any image is as it wants.

    Args:
        planned: The experiment; its images are simulated.
        spec: What to show.
        path: Where to, as JPEG or PNG.

    Returns:
        Whether there was an image to show.

    Raises:
        ConfigError: The images are real.
    """
    if planned.experiment.data.source == "folder":
        raise ConfigError(
            "pictures are made of simulated images only", expected="data.source = 'grid' or 'ward'"
        )
    network_states: dict[tuple[str, str], NetworkState] = {}
    for network_state in planned.network_states:  # one seed a state is enough for a picture
        network_states.setdefault((network_state.model, network_state.state), network_state)
    models = [(network_state, network_state.load()) for network_state in network_states.values()]
    chosen = _choose(planned.cases, models[0][1], spec)
    if not chosen:
        return False
    methods = list(spec.methods or planned.experiment.methods)
    tiles: list[Image] = []
    captions: list[str] = []
    for case, loaded, caption in chosen:
        tiles.append(_picture(loaded, None, None))
        captions.append(f"{case.key}: {caption}")
        for network_state, model in models:
            for method, sigma, values, frame in _maps(model, loaded, methods, planned.experiment.smoothing):
                tiles.append(_picture(loaded, values, frame))
                captions.append(_caption(network_state, method, sigma, planned))
    columns = len(tiles) // len(chosen)
    contact_sheet(tiles, captions=captions, columns=columns, cell=CELL).save(path, quality=80)
    return True


def _caption(network_state: NetworkState, method: str, sigma: float, planned: Plan) -> str:
    """What tells one column from the others."""
    parts: list[str] = (
        [network_state.state] if len({state.state for state in planned.network_states}) > 1 else []
    )
    parts += [network_state.model] if len({state.model for state in planned.network_states}) > 1 else []
    parts += [f"smoothed {sigma:g}" if sigma else "raw"] if len(planned.experiment.smoothing) > 1 else []
    return " ".join([*parts, method])


def _choose(cases: list[Case], model: LoadedModel, spec: Gallery) -> list[tuple[Case, Loaded, str]]:
    """The first images that are as the gallery wants, judged by the first network."""
    chosen: list[tuple[Case, Loaded, str]] = []
    for case in cases:
        loaded = case.load()
        array, _ = model.prepare(loaded.image)
        with torch.inference_mode():
            probability = float(model.probability(model.network(torch.from_numpy(array)[None]))[0])
        called, poor = probability >= model.card.threshold, loaded.label == 1
        wanted = {
            "first": True,
            "found": called and poor,
            "wrong": called != poor,
            "false-alarm": called and not poor,
            "missed": poor and not called,
        }[spec.choose]
        if wanted:
            chosen.append((case, loaded, f"{'poor' if poor else 'good'}, p = {probability:.2f}"))
        if len(chosen) == spec.count:
            break
    return chosen


def _maps(
    model: LoadedModel, loaded: Loaded, methods: list[str], smoothing: tuple[float, ...]
) -> list[tuple[str, float, np.ndarray, Frame]]:
    """The maps of one image on the network's grid."""
    array, frame = model.prepare(loaded.image)
    images = torch.from_numpy(array)[None]
    maps = explain(model.network, images, methods, target=model.card.poor_class, layers=layers_of(model))
    return [
        (text, sigma, on_input(saliency.values, frame, sigma), frame)
        for text, (saliency,) in maps.items()
        for sigma in smoothing
    ]


def _picture(loaded: Loaded, values: np.ndarray | None, frame: Frame | None) -> Image:
    """The image with its map, the map's peak and the boxes of its problems."""
    boxes = [
        Finding(peak=annotation.box.centre, box=annotation.box, score=1.0)
        for annotation in members(loaded.annotations)
    ]
    saliency, places = None, boxes
    if values is not None and frame is not None:
        saliency = SaliencyMap(values, "map", 1, input_size=frame.model_size, frame=frame)
        top = peak(values)
        if top is not None:
            x, y = frame.points_to_original(np.array(top)).tolist()
            places = [Finding(peak=Point(x, y), box=Box(x, y, x, y), score=1.0)]
    picture = overlay_picture(loaded.image, saliency, places, long_side=CELL)
    return Image(np.asarray(picture, dtype=np.float32) / np.float32(255))
