"""The one pipeline behind the command line, the service and every other way to use xiqa."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xiqa import __version__
from xiqa.assessment.loading import as_runtime, load_runtime
from xiqa.assessment.places import locate
from xiqa.assessment.reading import Prepared, Source, read_ahead, several
from xiqa.assessment.runtime import Inference, Runtime
from xiqa.assessment.series import RunningSeries, check_tolerance
from xiqa.assessment.verdicts import decide
from xiqa.errors import Code, ConfigError, ImageReadError
from xiqa.models.views.check import likeliest_other
from xiqa.saliency.method import Method
from xiqa.types import Assessment, Fragility, Image, SaliencyMap, Verdict

if TYPE_CHECKING:
    from torch import nn

    from xiqa.models import LoadedModel
    from xiqa.models.card import BundleCard
    from xiqa.models.outputs import Reading
    from xiqa.models.preprocess import Preprocessing
    from xiqa.saliency.targets import Target

__all__ = ["assess", "assess_each", "explain"]

OnResult = Callable[[Assessment, Image | None], None]


def assess(
    model: LoadedModel | Runtime | str | os.PathLike[str],
    images: Source | Iterable[Source],
    *,
    method: Method | str | None = None,
    batch_size: int = 8,
    on_result: OnResult | None = None,
    keep_maps: bool = True,
    fragility: bool = False,
    frames: str = "all",
    tolerance: float = 0.0,
) -> list[Assessment]:
    """Say of each image whether it is good enough, and where the problem is.

    The map always explains the *poor-quality* class, whatever the verdict, so an accepted image has
    findings too: the places that speak most for poor quality, though not enough. An image that cannot be
    read is ``not_assessed`` with the reason, and the rest goes on.

    Args:
        model: What `xiqa.load_model` gives, a runtime, or a model's name, folder or exported file, which is
            loaded anew by each call.
        images: One image or many, each a path, an `Image`, a `Series` of files, an `ImageRef`, or an array,
            tensor, Pillow picture or DICOM data set (`xiqa.imaging.given.as_image`).
        method: Saliency method, ``"normgrad_conv1x1:layers=multi"`` for one; by default the model's own.
        batch_size: Images that pass the network at once.
        on_result: Called with each assessment, map included, and its image, in the order of the images.
        keep_maps: Whether the returned assessments keep their maps (about a megabyte each).
        fragility: Search the smallest changes that flip each verdict, ten to twenty times the work.
        frames: Which images of a series, and which frames of a file with several, are assessed: ``all``,
            ``first``, ``middle`` or ``every:k``.
        tolerance: Share of poor images that a series' verdict puts up with; see `xiqa.assessment.series`.

    Returns:
        One assessment an image, in their order, places in original pixels. After the frames of a file with
        several, or the images of a series, one more for the series: its ``series`` says which are poor.

    Raises:
        SaliencyError: The method does not exist or cannot explain this network.
        ConfigError: The batch size is no positive number, there is no such choice of frames or tolerance, or
            fragility is asked of an exported model.
    """
    results = []
    for result, image in assess_each(
        model,
        images,
        method=method,
        batch_size=batch_size,
        fragility=fragility,
        frames=frames,
        tolerance=tolerance,
    ):
        if on_result is not None:
            on_result(result, image)
        results.append(result if keep_maps else replace(result, saliency=None))
    return results


def assess_each(
    model: LoadedModel | Runtime | str | os.PathLike[str],
    images: Source | Iterable[Source],
    *,
    method: Method | str | None = None,
    batch_size: int = 8,
    fragility: bool = False,
    frames: str = "all",
    tolerance: float = 0.0,
) -> Iterator[tuple[Assessment, Image | None]]:
    """`assess`, one result at a time, for more images than fit into memory."""
    if batch_size < 1:
        raise ConfigError("no such batch size", expected="1 or more", got=str(batch_size))
    check_tolerance(tolerance)
    runtime = as_runtime(model, method)
    chosen = runtime.resolve(method)
    told = _tell_fragility(runtime) if fragility else _tell_nothing
    running = RunningSeries(frames, tolerance)
    batch: list[Prepared] = []
    for prepared in read_ahead(several(images), runtime.prepare, batch_size + 1, frames):
        batch.append(prepared)
        if sum(one.array is not None for one in batch) == batch_size:
            yield from running.after(_results(runtime, batch, chosen, told), batch)
            batch = []
    yield from running.after(_results(runtime, batch, chosen, told), batch)


def explain(
    model: LoadedModel | Runtime | nn.Module | str | os.PathLike[str],
    images: Source | Iterable[Source],
    methods: Method | str | Sequence[Method | str],
    *,
    target: int | str | Target | None = None,
    layers: str | Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> dict[str, list[SaliencyMap]]:
    """Saliency maps of several methods for the same images, with as few passes as they allow.

    Args:
        model: A network of one's own (any ``torch.nn.Module`` that maps images to logits), what
            `xiqa.load_model` gives, a runtime, or a model's name, folder or exported file.
        images: One image or many; see `assess`. Every image of a series and every frame of a file is
            explained; an `ImageRef` names one frame. For a network, a tensor ``(N, C, H, W)`` is its input as
            it is.
        methods: One method or several; of an exported model its own and those that need no gradient.
        target: Explained class, by index or name, or ``"predicted"``. Unless told the poor-quality class of a
            model, and the only one of an exported one; of a network the predicted class.
        layers: The layers that the methods read, deepest last; the model's own unless told.
        preprocessing: How a network takes images that are no tensor of its input; a model has its own.

    Returns:
        For each method (by its text) one map an image, with the frame that leads back to the original.

    Raises:
        ImageReadError: An image cannot be read.
        SaliencyError: A method, a layer or the class does not exist, or a method cannot explain this network.
        ConfigError: A network's images need ``preprocessing``.
    """
    chosen = [methods] if isinstance(methods, (str, Method)) else list(methods)
    if isinstance(model, (str, os.PathLike)):
        wide = target is not None or layers is not None
        model = load_runtime(model, methods=tuple(chosen), gradients=wide)
    if layers is None and preprocessing is None and (isinstance(model, Runtime) or hasattr(model, "card")):
        return as_runtime(model).explain(several(images), chosen, target)  # type: ignore[arg-type]
    from xiqa.assessment.networks import explain_network  # noqa: PLC0415 - needs torch

    return explain_network(model, images, chosen, target, layers, preprocessing)


def _tell_nothing(prepared: Prepared) -> Fragility | None:
    """Fragility was not asked for."""
    return None


def _tell_fragility(runtime: Runtime) -> Callable[[Prepared], Fragility | None]:
    """How fragile each verdict is."""
    from xiqa.assessment.fragility import image_fragility, require_gradients  # noqa: PLC0415 - needs torch

    model = require_gradients(runtime)

    def tell(prepared: Prepared) -> Fragility | None:
        assert prepared.array is not None
        assert prepared.frame is not None
        assert prepared.image is not None
        return image_fragility(model, prepared.array, prepared.frame, prepared.image)

    return tell


def _results(
    runtime: Runtime,
    batch: Sequence[Prepared],
    method: Method,
    tell: Callable[[Prepared], Fragility | None],
) -> Iterator[tuple[Assessment, Image | None]]:
    """The results, with the fragility of those that have a verdict."""
    for (result, image), prepared in zip(_assess_batch(runtime, batch, method), batch, strict=True):
        assessed = image is not None and result.verdict is not Verdict.NOT_ASSESSED
        if assessed and (fragility := tell(prepared)) is not None:
            provenance = {**result.provenance, "fragility": True}
            yield replace(result, fragility=fragility, provenance=provenance), image
        else:
            yield result, image


def _assess_batch(
    runtime: Runtime, batch: Sequence[Prepared], method: Method
) -> Iterator[tuple[Assessment, Image | None]]:
    """Assess what could be read, and pass on why the rest could not, in order."""
    arrays = [one.array for one in batch if one.array is not None]
    inference = runtime.infer(np.stack(arrays), method) if arrays else None
    shared = _provenance(runtime, method)
    place = 0
    for prepared in batch:
        if prepared.image is None or inference is None:
            yield _unreadable(prepared, shared), None
        else:
            yield _assessment(runtime, prepared, inference, place, method, shared), prepared.image
            place += 1


def _unreadable(prepared: Prepared, shared: Mapping[str, Any]) -> Assessment:
    """What is said of an image that could not be read."""
    problem = prepared.problem
    code = problem.code if isinstance(problem, ImageReadError) else Code.FAILED
    reason = str(problem)
    return Assessment(
        prepared.file, Verdict.NOT_ASSESSED, reason, code, provenance=shared, source=prepared.source
    )


def _assessment(
    runtime: Runtime,
    prepared: Prepared,
    inference: Inference,
    place: int,
    method: Method,
    shared: Mapping[str, Any],
) -> Assessment:
    """The verdict on one image of a batch."""
    card, image = runtime.card, prepared.image
    assert image is not None
    probability = float(inference.probabilities[place])
    distance = None if inference.distances is None else float(inference.distances[place])
    reading = inference.reading
    problem = None if reading is None else card.problems[int(reading.problems[place])]
    views = None if inference.views is None else [float(share) for share in inference.views[place]]
    verdict, code, reason = decide(card, probability, distance, runtime.guard_limit, problem, views)
    saliency = SaliencyMap(
        inference.maps[place],
        method.name,
        int(inference.targets[place]),
        params=inference.params,
        input_size=card.preprocessing.size,
        frame=prepared.frame,
    )
    found = locate(saliency, image) if verdict is not Verdict.NOT_ASSESSED else ()
    if not found:
        reason += "; no place can be made out"
    return Assessment(
        prepared.file,
        verdict,
        reason,
        code,
        probability=probability if verdict is not Verdict.NOT_ASSESSED else None,
        threshold=card.threshold,
        findings=found,
        provenance={
            **shared,
            **_problems(card, reading, place),
            **_image_provenance(image, distance),
            **_view(card, views),
        },
        saliency=saliency,
        image_size=image.size,
        source=prepared.source,
    )


def _provenance(runtime: Runtime, method: Method) -> dict[str, Any]:
    """What makes the results of one run repeatable."""
    card = runtime.card
    return {
        "model": card.name,
        "model_hash": card.hash,
        "recipe": _recipe_name(card),
        "method": str(method),
        "target": card.classes[card.poor_class],
        "threshold": card.threshold,
        "review_band": list(card.review_band),
        "sensitivity_wanted": card.recipe.get("sensitivity"),
        "temperature": card.temperature,
        "beta": list(card.beta),
        "guard_limit": runtime.guard_limit,
        "xiqa": __version__,
        **runtime.versions,
        "device": runtime.device,
        "threads": runtime.threads,
    }


def _problems(card: BundleCard, reading: Reading | None, place: int) -> dict[str, Any]:
    """The likeliest problem, which the map explains; the probability of each, and its grade if it has one."""
    if reading is None:
        return {}
    problem = card.problems[int(reading.problems[place])]
    each = {
        name: round(float(value), 4) for name, value in zip(card.problems, reading.each[place], strict=True)
    }
    found: dict[str, Any] = {"target": problem, "problem": problem, "problems": each}
    if reading.grades is not None:
        grades = [card.classes[int(grade)] for grade in reading.grades[place]]
        found["grades"] = dict(zip(card.problems, grades, strict=True))
    return found


def _view(card: BundleCard, views: Sequence[float] | None) -> dict[str, Any]:
    """What the view check says of one image."""
    if card.view is None or views is None:
        return {}
    seen = likeliest_other(card.view, views) or card.view.views[0]
    return {"view": seen, "view_probability": round(views[0], 4) if np.isfinite(views[0]) else "not a number"}


def _recipe_name(card: BundleCard) -> str:
    """The name of the training recipe, which the card holds in full."""
    return str(card.recipe.get("name", card.name))


def _image_provenance(image: Image, distance: float | None) -> dict[str, Any]:
    """What concerns one image: the guard's distance, what was chosen while reading."""
    notes = list(image.source.notes)
    if image.source.frames > 1:
        notes.append(f"frame {image.source.frame + 1} of {image.source.frames}")
    told: dict[str, Any] = {"format": image.source.format}
    if distance is not None:
        told["guard_distance"] = round(distance, 4) if np.isfinite(distance) else "infinite"
    return told | ({"notes": notes} if notes else {})
