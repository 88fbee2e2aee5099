"""What `assess` needs of a model, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from xiqa.saliency.method import Method
from xiqa.types import FloatArray, Image, SaliencyMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xiqa.assessment.reading import Source
    from xiqa.geometry import Frame
    from xiqa.models.card import BundleCard
    from xiqa.models.outputs import Reading

__all__ = ["Engine", "Inference", "Runtime"]

Engine = Literal["auto", "torch", "onnxruntime", "openvino"]


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    """What a model says of one batch.

    Attributes:
        probabilities: ``(N,)`` calibrated, of poor quality.
        maps: ``(N, h, w)`` raw maps for the poor class, at layer or input size.
        targets: ``(N,)`` the class that each map explains.
        params: All parameters of the method, with the layers' names in them.
        distances: ``(N,)`` of the guard; None where there is none.
        reading: Probabilities problem by problem, where the model tells several apart; its maps are then
            for each image's likeliest problem.
        views: ``(N, V)`` probabilities of the view check; None where there is none.
    """

    probabilities: NDArray[Any]
    maps: FloatArray
    targets: NDArray[Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    distances: NDArray[Any] | None = None
    reading: Reading | None = None
    views: NDArray[Any] | None = None


@runtime_checkable
class Runtime(Protocol):
    """A model that runs: PyTorch, ONNX Runtime, OpenVINO.

    Attributes:
        card: The model's card.
        guard_limit: Distance from which the guard speaks; None where there is none.
        versions: What it runs on, for the provenance.
        device: Where it runs: ``cpu``, ``cuda:0``, ...
        threads: Processor threads inside one operation: with another number the last digits differ.
    """

    card: BundleCard
    guard_limit: float | None
    versions: Mapping[str, str]

    @property
    def device(self) -> str:
        """Where it runs."""
        ...

    @property
    def threads(self) -> int:
        """Processor threads inside one operation; 0 where the engine chooses."""
        ...

    def prepare(self, image: Image) -> tuple[FloatArray, Frame]:
        """The input ``(C, h, w)`` for one image, and the frame that leads back to it."""
        ...

    def resolve(self, method: Method | str | None) -> Method:
        """The method to use, the card's own for None; raises `SaliencyError` where this runtime cannot."""
        ...

    def infer(self, batch: FloatArray, method: Method) -> Inference:
        """Probabilities and maps of prepared images ``(N, C, h, w)``, in one pass where the method can."""
        ...

    def explain(
        self, images: Iterable[Source], methods: Sequence[Method | str], target: int | str | None = None
    ) -> dict[str, list[SaliencyMap]]:
        """Maps of several methods for the same images; see `xiqa.explain`."""
        ...
