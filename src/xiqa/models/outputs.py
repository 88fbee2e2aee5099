r"""What a head's outputs say about quality: one reading for every kind of head.

Four tasks, each with its own meaning of the network's :math:`K` outputs :math:`z` (divided by the card's
temperature :math:`T`):

=========  ======================================================  =========================================
task       outputs                                                 probability of a problem
=========  ======================================================  =========================================
classes    one logit a class, exactly one of which is right        :math:`\mathrm{softmax}(z/T)_c`
labels     one logit a label, any number of which may be right     :math:`\sigma(z_c/T)`
ordered    :math:`G-1` cumulative logits a problem, by grade       :math:`\sigma(z_{p,k}/T)`, the problem's
           (`xiqa.models.heads.pooled.OrderedLinear`)                     grade is at least :math:`k`
degree     one value :math:`v_p` a problem                         :math:`\sigma((v_p - \ell)/T)`, the
                                                                   degree exceeds the limit :math:`\ell`
=========  ======================================================  =========================================

Of *classes*, several may be poor: their probabilities add up to that of poor quality. Of the other tasks
problems can come together, and the probability of poor quality is that of the likeliest problem. The
likeliest problem is also what the verdict names and what the heat map explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import Field
from scipy.special import expit, softmax

from xiqa.config import Section
from xiqa.models.calibration import IDENTITY, probability_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from xiqa.models.calibration import Beta

__all__ = [
    "Meaning",
    "Outputs",
    "Reading",
    "Task",
    "class_scores",
    "degrees_of",
    "disagreement",
    "is_plain",
    "margins",
    "output_count",
    "poor_classes",
    "problem_names",
    "read_outputs",
    "target_of",
]

Task = Literal["classes", "labels", "ordered", "degree"]


class Outputs(Section):
    """What the outputs mean; with the defaults, one poor class among several.

    A recipe and a card each have one, beside ``classes`` and ``poor_class``:

    - *classes*: ``classes`` names the outputs; ``poor_classes`` the poor ones where there are several.
    - *labels*: ``classes`` names the outputs, ``poor_classes`` those that are problems.
    - *ordered*: ``classes`` names the grades, best first, ``poor_class`` is the first that is poor;
      ``problems`` names what is graded, where it is more than one thing.
    - *degree*: ``classes`` names what lies below and above ``limit``; ``problems`` as for *ordered*.

    With ``problems``, a sample tells the degree of each problem it has in its tags, ``motion_blur=0.6``;
    a problem that is not among the tags has the degree 0. `grades_from` makes grades of degrees.

    Attributes:
        task: How the outputs are read.
        poor_classes: Indices of the poor classes or labels; empty: ``poor_class`` alone for *classes*,
            every label for *labels*.
        problems: Names of the problems that are graded or measured; empty: one without a name.
        grades_from: Degrees from which the second, third, ... grade begin, rising.
        limit: Degree from which an image is poor.
    """

    task: Task = "classes"
    poor_classes: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    grades_from: tuple[float, ...] = ()
    limit: float = Field(default=0.5, allow_inf_nan=False)


class Meaning(Protocol):
    """What both a recipe and a card have."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    @property
    def poor_class(self) -> int:
        """Index of the (first) poor class."""
        ...

    @property
    def outputs(self) -> Outputs:
        """What the outputs mean."""
        ...


class Reading(NamedTuple):
    """What the outputs say of ``N`` images.

    Attributes:
        probabilities: ``(N,)`` of poor quality.
        each: ``(N, P)`` of each problem.
        problems: ``(N,)`` index of the likeliest problem.
        targets: ``(N,)`` the class that a saliency method explains for it.
        grades: ``(N, P)`` of each problem, by its place in the classes; None of a model that does not grade.
    """

    probabilities: NDArray[np.float64]
    each: NDArray[np.float64]
    problems: NDArray[np.int64]
    targets: NDArray[np.int64]
    grades: NDArray[np.int64] | None = None


def poor_classes(meaning: Meaning) -> tuple[int, ...]:
    """Indices of the poor classes or labels; of the grades, those that are poor."""
    outputs, count = meaning.outputs, len(meaning.classes)
    if outputs.task == "ordered":
        return tuple(range(meaning.poor_class, count))
    if outputs.task == "labels" and not outputs.poor_classes:
        return tuple(range(count))
    return outputs.poor_classes or (meaning.poor_class,)


def problem_names(meaning: Meaning) -> tuple[str, ...]:
    """What a verdict can name, in the order of `Reading.each`."""
    if meaning.outputs.task in ("classes", "labels"):
        return tuple(meaning.classes[index] for index in poor_classes(meaning))
    return meaning.outputs.problems or (meaning.classes[meaning.poor_class],)


def output_count(meaning: Meaning) -> int:
    """How many outputs the network has."""
    outputs = meaning.outputs
    scores = max(1, len(outputs.problems))
    if outputs.task == "ordered":
        return scores * (len(meaning.classes) - 1)
    return scores if outputs.task == "degree" else len(meaning.classes)


def disagreement(meaning: Meaning) -> str | None:
    """Why classes, poor classes and problems do not go together; None where they do."""
    outputs, count, poor = meaning.outputs, len(meaning.classes), meaning.poor_class
    task, edges = outputs.task, outputs.grades_from
    exclusive = task in ("classes", "labels")
    graded = task == "ordered" and bool(outputs.problems)
    rising = len(edges) == count - 1 and list(edges) == sorted(set(edges))
    wrong = {
        "poor_class is none of the classes": any(
            c not in range(count) for c in (poor, *outputs.poor_classes)
        ),
        "outputs.poor_classes leaves no good class": task == "classes"
        and len(set(outputs.poor_classes)) == count,
        f"outputs.problems is not for the task {task}": exclusive and bool(outputs.problems),
        f"outputs.poor_classes is not for the task {task}": not exclusive and bool(outputs.poor_classes),
        "the first grade is the best one: poor_class must be 1 or more": task == "ordered" and poor == 0,
        "a degree has two classes, below and above the limit, and poor_class 1": task == "degree"
        and (count, poor) != (2, 1),
        f"outputs.grades_from must name {count - 1} rising degrees": graded and not rising,
    }
    return next((problem for problem, wrong_here in wrong.items() if wrong_here), None)


def margins(meaning: Meaning, logits: ArrayLike) -> NDArray[np.float64]:
    r"""Log-odds ``(N, P)``, before calibration, that each problem of the tasks but *classes* is there.

    Args:
        meaning: The card or recipe.
        logits: ``(N, K)``.
    """
    scores = np.asarray(logits, dtype=np.float64)
    outputs = meaning.outputs
    if outputs.task == "labels":
        return scores[:, list(poor_classes(meaning))]
    if outputs.task == "ordered":
        return scores.reshape(len(scores), -1, len(meaning.classes) - 1)[:, :, meaning.poor_class - 1]
    return scores - outputs.limit


def read_outputs(
    meaning: Meaning, logits: ArrayLike, temperature: float = 1.0, beta: Beta = IDENTITY
) -> Reading:
    """Probabilities, the likeliest problem and what to explain, for every kind of head.

    Args:
        meaning: The card or recipe.
        logits: ``(N, K)``; for two classes one column will do.
        temperature: The logits (or margins) are divided by it.
        beta: Map of the probability of poor quality; see `xiqa.models.calibration.fit_beta`.

    Returns:
        The reading.

    >>> from types import SimpleNamespace
    >>> outputs = Outputs(poor_classes=(1, 2))
    >>> card = SimpleNamespace(classes=("good", "dark", "blurred"), poor_class=1, outputs=outputs)
    >>> reading = read_outputs(card, [[0.0, 1.0, 3.0]])
    >>> reading.targets.tolist(), reading.probabilities.round(3).tolist()
    ([2], [0.958])
    """
    scores = np.asarray(logits, dtype=np.float64)
    task, poor = meaning.outputs.task, np.array(poor_classes(meaning))
    if task == "classes":
        sided = np.column_stack((np.zeros(len(scores)), scores)) if scores.shape[1] == 1 else scores
        each = np.asarray(softmax(sided / temperature, axis=1)[:, poor], dtype=np.float64)
        worst = each.argmax(axis=1)
        if len(poor) == 1:
            total = probability_of(scores, int(poor[0]), temperature, beta)
        else:
            total = _mapped(each.sum(axis=1), beta)
        return Reading(total, each, worst, poor[worst])
    each = np.asarray(expit(margins(meaning, scores) / temperature), dtype=np.float64)
    worst = each.argmax(axis=1)
    targets = np.array([target_of(meaning, problem) for problem in range(each.shape[1])])[worst]
    return Reading(_mapped(each.max(axis=1), beta), each, worst, targets, _grades(meaning, scores))


def _grades(meaning: Meaning, logits: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """The highest grade of each problem that is likelier reached than not."""
    if meaning.outputs.task != "ordered":
        return None
    reached = logits.reshape(len(logits), -1, len(meaning.classes) - 1) >= 0
    return np.asarray(np.logical_and.accumulate(reached, axis=2).sum(axis=2), dtype=np.int64)


def target_of(meaning: Meaning, problem: int) -> int:
    """The class that a saliency method explains for a problem, by its place in `problem_names`."""
    if meaning.outputs.task in ("classes", "labels"):
        index = poor_classes(meaning)[problem]
    elif meaning.outputs.task == "ordered":
        index = problem * (len(meaning.classes) - 1) + meaning.poor_class - 1
    else:
        index = problem
    # the one output of a network with a single one speaks for class 1
    return 1 if output_count(meaning) == 1 else index


def is_plain(meaning: Meaning) -> bool:
    """Whether there is one poor class whose logit speaks for it, so that the same is explained always."""
    return meaning.outputs.task == "classes" and len(poor_classes(meaning)) == 1


def _mapped(probabilities: NDArray[np.float64], beta: Beta) -> NDArray[np.float64]:
    """Probabilities after the beta map, as in `probability_of`."""
    if beta == IDENTITY:
        return np.minimum(probabilities, 1.0)
    a, b, c = beta
    inside = np.clip(probabilities, 1e-300, 1 - 1e-16)
    return np.asarray(expit(a * np.log(inside) - b * np.log1p(-inside) + c), dtype=np.float64)


def degrees_of(meaning: Meaning, logits: ArrayLike) -> NDArray[np.float64]:
    r"""How strong each problem is, ``(N, P)``.

    *degree*: the value itself; *ordered*: the expected grade :math:`\sum_k \sigma(z_k)`, from 0 to
    :math:`G - 1`.
    """
    scores = np.asarray(logits, dtype=np.float64)
    if meaning.outputs.task == "degree":
        return scores
    cumulative = expit(scores).reshape(len(scores), -1, len(meaning.classes) - 1)
    return np.asarray(cumulative.sum(axis=2), dtype=np.float64)


def class_scores(
    meaning: Meaning, logits: ArrayLike, temperature: float = 1.0
) -> tuple[NDArray[np.float64], tuple[str, ...], bool]:
    """Probabilities for a table of classes.

    Args:
        meaning: The card or recipe.
        logits: ``(N, K)``.
        temperature: See `read_outputs`.

    Returns:
        ``(N, C)`` probabilities, the names of the C columns, and whether exactly one of them is right
        (*classes*, and *ordered* without named problems).
    """
    scores = np.asarray(logits, dtype=np.float64)
    task = meaning.outputs.task
    if task == "classes":
        sided = np.column_stack((np.zeros(len(scores)), scores)) if scores.shape[1] == 1 else scores
        return np.asarray(softmax(sided / temperature, axis=1)), meaning.classes, True
    if task == "ordered" and not meaning.outputs.problems:
        cumulative = expit(scores / temperature)
        edges = np.hstack((np.ones((len(scores), 1)), cumulative, np.zeros((len(scores), 1))))
        return -np.diff(edges, axis=1), meaning.classes, True
    if task == "labels":
        return np.asarray(expit(scores / temperature)), meaning.classes, False
    return np.asarray(expit(margins(meaning, scores) / temperature)), problem_names(meaning), False
