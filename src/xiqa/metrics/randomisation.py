"""The sanity check: does the map depend on what the network has learnt?"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Literal

import numpy as np
from torch import Tensor, nn

from xiqa.errors import MetricError
from xiqa.metrics.agreement.compare import agreement
from xiqa.metrics.arguments import Explain, Picture, Seed, checked
from xiqa.metrics.randomise import How, parametrised, randomised
from xiqa.metrics.registry import metric

__all__ = ["Mode", "parameter_randomisation", "randomisation_curve"]

#: Which modules are random at once: from the output down, one by one, only the classifier, or all.
Mode = Literal["cascading", "independent", "semi", "full"]


@checked
def randomisation_curve(
    network: nn.Module,
    explain: Explain,
    image: Picture,
    *,
    mode: Mode = "cascading",
    layers: Sequence[str] | None = None,
    measure: str = "spearman",
    absolute: bool = False,
    how: How = "reset",
    seed: Seed = 0,
) -> dict[str, float]:
    """Agreement of the map with the trained network's, by the module that was made random last.

    See `parameter_randomisation` for the arguments.
    """
    names = list(layers) if layers is not None else parametrised(network, image)
    trained = _map(explain, image, absolute)
    values = {}
    for last, chosen in _choices(names, mode):
        with randomised(network, chosen, seed=seed, how=how):
            values[last] = agreement(measure, trained, _map(explain, image, absolute))
    return values


def _choices(names: list[str], mode: Mode) -> list[tuple[str, list[str]]]:
    """Sets of modules to randomise together, each with the name it is told by; output side first."""
    if not names:
        raise MetricError("a network without parameters cannot be randomised")
    downwards = names[::-1]
    if mode == "cascading":
        return [(name, downwards[: place + 1]) for place, name in enumerate(downwards)]
    if mode == "independent":
        return [(name, [name]) for name in downwards]
    if mode == "semi":
        return [(downwards[0], downwards[:1])]
    if mode == "full":
        return [(downwards[-1], downwards)]
    raise MetricError("unknown mode", expected="'cascading', 'independent', 'semi' or 'full'", got=repr(mode))


def _map(explain: Explain, image: Tensor, absolute: bool) -> np.ndarray:
    values: np.ndarray = explain(image[None])[0].detach().double().cpu().numpy()
    return np.abs(values) if absolute else values


@metric(
    "parameter_randomisation",
    "randomisation",
    higher_is_better=False,
    bounds=(-1, 1),
    cite="adebayo2018sanity",
    cases={"constant": nan},
)
def parameter_randomisation(
    network: nn.Module,
    explain: Explain,
    image: Picture,
    *,
    mode: Mode = "cascading",
    layers: Sequence[str] | None = None,
    measure: str = "spearman",
    absolute: bool = False,
    how: How = "reset",
    seed: Seed = 0,
) -> float:
    r"""How alike the maps of the trained and of a randomised network are, on average over what is randomised.

    .. math:: \frac{1}{M} \sum_{m=1}^{M} \mathrm{sim}\bigl(\Phi_f(x), \Phi_{f_m}(x)\bigr)

    where :math:`f_m` has random parameters in a growing set of modules, from the output to the input.

    **Pitfalls.** A map that ignores the network (an edge detector) scores 1. Random sign flips make signed
    maps disagree without a change to be seen: look at ``absolute=True`` too. Every module with parameters
    is drawn, batch norm and its statistics included, each from a seed of its own. ``explain`` must keep one
    class, since a random network predicts another. Agreements that are not defined (the map became
    constant) are left out.

    **Variants.** ``mode``: ``cascading`` as above; ``independent``: one module at a time; ``semi``: the
    classifier alone and ``full``: everything, the two tests of ozer2025consistent. ``how="shuffle"`` keeps
    each tensor's values and changes their places.

    Args:
        network: The network that ``explain`` explains; left as it was.
        explain: Gives maps ``(N, h, w)`` of images ``(N, C, H, W)``.
        image: ``(C, H, W)`` as the network takes it.
        mode: Which modules are random at once.
        layers: Modules from input to output; None: all that have parameters, as they are called.
        measure: Name of the metric of agreement.
        absolute: Whether to compare magnitudes.
        how: ``reset`` (as initialised) or ``shuffle``.
        seed: Seed of the draws.

    Returns:
        Mean agreement, low for a map that depends on the parameters; NaN where no agreement is defined.

    Raises:
        MetricError: A mode, measure or way that is not known.
    """
    curve = randomisation_curve(
        network,
        explain,
        image,
        mode=mode,
        layers=layers,
        measure=measure,
        absolute=absolute,
        how=how,
        seed=seed,
    )
    values = np.asarray(list(curve.values()))
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else nan
