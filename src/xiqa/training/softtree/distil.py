"""Distilling a classifier into a soft decision tree: asking it, growing the tree, how faithful it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import safetensors.torch
import torch
from pydantic import Field
from rich.progress import track
from torch import Tensor

from xiqa.config import RecipeFile
from xiqa.datasets import by_split
from xiqa.datasets.collection import require_no_leak
from xiqa.datasets.detect import read_dataset
from xiqa.errors import ConfigError, DatasetError
from xiqa.files import write_atomic
from xiqa.models.bundle import load_model
from xiqa.models.explainers.generators import network_hash
from xiqa.models.explainers.softtree import Fidelity, SoftTree, TreeCard, TreeInput, save_tree, tree_input
from xiqa.models.outputs import output_count, target_of
from xiqa.report.softtree import draw_tree
from xiqa.scoring.bootstrap import bootstrap_means
from xiqa.scoring.intervals import interval_of, mean_interval
from xiqa.simulation.seeds import SOFT_TREE
from xiqa.training.explainers import read_plan, simulated_images
from xiqa.training.loop import require_finite
from xiqa.training.softtree.loss import Shares, tree_loss, turn_penalty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from xiqa.datasets import Sample
    from xiqa.models.bundle import LoadedModel
    from xiqa.models.card import BundleCard

__all__ = [
    "Seen",
    "SoftTreeRecipe",
    "distil",
    "fidelity",
    "fit_tree",
    "run",
    "see_images",
    "tree_targets",
]

EPOCHS_BETWEEN_CHECKPOINTS = 20


class SoftTreeRecipe(RecipeFile):
    r"""One distillation.

    Attributes:
        kind: What the recipe trains.
        name: Of the tree.
        seed: Of the start, the order and the simulated images.
        depth: Levels of inner nodes.
        sharpness: The inverse temperature :math:`\beta`.
        penalty: :math:`\lambda` at the root, halved at each level.
        epochs: Passes over the images.
        batch_size: Images a step.
        learning_rate: Of Adam.
        weight_decay: On the filters, so that few images do not make them noise.
        simulated: How many simulated radiographs to add, each fourth for validation.
        look: What the tree looks at.
    """

    kind: Literal["softtree"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = 0
    depth: int = Field(default=3, ge=1, le=8)
    sharpness: float = Field(default=1.0, gt=0)
    penalty: float = Field(default=0.1, ge=0)
    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    simulated: int = Field(default=0, ge=0)
    look: TreeInput = TreeInput()


@dataclass(frozen=True, eq=False)
class Seen:
    """Images as a tree sees them.

    Attributes:
        inputs: ``(N, F)``.
        poor: ``(N,)``, the classifier's calibrated probability of poor quality.
    """

    inputs: Tensor
    poor: Tensor

    @property
    def targets(self) -> Tensor:
        """``(N, 2)``: the probabilities of good and of poor."""
        return torch.stack([1 - self.poor, self.poor], dim=1)


def fit_tree(
    tree: SoftTree, seen: Seen, recipe: SoftTreeRecipe, folder: Path, *, resume: bool = False
) -> None:
    """Train a tree; it begins with the images' mean and deviation.

    ``folder/last.ckpt`` is written every few epochs; with ``resume`` the run goes on there and ends as if it
    had not been interrupted.

    Args:
        tree: Changed in place.
        seen: The training images.
        recipe: The recipe.
        folder: For checkpoints.
        resume: Go on from the last checkpoint.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.no_grad():
        tree.split.weight.normal_(0, 0.3 / tree.split.in_features**0.5, generator=generator)
        tree.split.bias.zero_()
        tree.leaf.normal_(0, 0.1, generator=generator)
        tree.get_buffer("mean").copy_(seen.inputs.mean(dim=0))
        spread = seen.inputs.std(dim=0, correction=0)
        # what hardly varies says nothing, and must not be blown up
        tree.get_buffer("deviation").copy_(spread.clamp_min(1e-3 * float(spread.max().clamp_min(1e-12))))
    groups: list[dict[str, Any]] = [
        {"params": [tree.split.weight], "weight_decay": recipe.weight_decay},
        {"params": [tree.split.bias, tree.leaf]},
    ]
    optimiser = torch.optim.Adam(groups, lr=recipe.learning_rate)
    shares, first, checkpoint = Shares(tree.levels), 0, folder / "last.ckpt"
    mark = _mark(recipe, seen)
    if resume and checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if state["mark"] != mark:
            raise ConfigError(
                f"{checkpoint} is of another recipe or other images", todo="train without --resume"
            )
        tree.load_state_dict(state["tree"])
        optimiser.load_state_dict(state["optimiser"])
        shares, first = Shares(tree.levels, state["shares"]), state["epoch"]
    for epoch in range(first, recipe.epochs):
        for batch in _batches(len(seen.poor), recipe, epoch):
            turns = tree.turns(seen.inputs[batch])
            loss = tree_loss(turns, tree.log_distributions(), seen.targets[batch]).mean()
            loss = loss + recipe.penalty * turn_penalty(shares(turns), tree.levels)
            require_finite(loss, f"epoch {epoch + 1} of the soft tree")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if (epoch + 1) % EPOCHS_BETWEEN_CHECKPOINTS == 0 or epoch + 1 == recipe.epochs:
            folder.mkdir(parents=True, exist_ok=True)
            state = {
                "mark": mark,
                "epoch": epoch + 1,
                "tree": tree.state_dict(),
                "optimiser": optimiser.state_dict(),
                "shares": shares.sums,
            }
            beside = folder / ".last.ckpt"
            torch.save(state, beside)
            beside.replace(checkpoint)


def _mark(recipe: SoftTreeRecipe, seen: Seen) -> str:
    """Tells one training from another; more epochs of the same are the same."""
    text = recipe.model_copy(update={"epochs": 1}).model_dump_json()
    content = text.encode() + seen.inputs.numpy().tobytes() + seen.poor.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


def _batches(count: int, recipe: SoftTreeRecipe, epoch: int) -> Iterator[Tensor]:
    """The images in an order that seed and epoch decide."""
    order = torch.from_numpy(np.random.default_rng((recipe.seed, epoch)).permutation(count))
    yield from order.split(recipe.batch_size)


def fidelity(tree: SoftTree, seen: Seen, threshold: float, patients: Sequence[str] | None = None) -> Fidelity:
    """How well a tree stands for its classifier on images, with 95 % intervals by patient.

    Args:
        tree: The tree.
        seen: The images.
        threshold: The classifier's limit.
        patients: Whom each image shows; None: each another.
    """
    with torch.no_grad():
        said = tree.likeliest(seen.inputs)[:, 1]
    poor = (seen.poor >= threshold).numpy()
    agree = ((said >= threshold).numpy() == poor).astype(float)
    distance = (said - seen.poor).abs().double().numpy()
    table = np.stack([agree, distance, np.where(poor, agree, np.nan), np.where(poor, np.nan, agree)], axis=1)
    draws = bootstrap_means(table, patients)
    share = float(poor.mean())
    balanced = None
    if 0 < share < 1:
        balanced = interval_of(
            float(np.nanmean(table[:, 2:], axis=0).mean()),
            draws[:, 2:].mean(axis=1),
            images=len(poor),
            patients=len(set(patients or range(len(poor)))),
        ).estimate()
    return Fidelity(
        images=len(poor),
        agreement=mean_interval(agree, draws[:, 0], patients).estimate(),
        majority=max(share, 1 - share),
        balanced=balanced,
        distance=mean_interval(distance, draws[:, 1], patients).estimate(),
    )


def see_images(
    model: LoadedModel, samples: Sequence[Sample], look: TreeInput, *, progress: bool = True
) -> Seen:
    """What a tree sees of images, and what the classifier says of them.

    Args:
        model: The classifier.
        samples: The images.
        look: What the tree looks at; the layer has its name.
        progress: Whether to show a progress bar.

    Returns:
        Inputs and probabilities, in the samples' order.
    """
    model.network.eval()
    device = next(model.network.parameters()).device
    inputs, poor = [], []
    for sample in track(samples, "asking the classifier", disable=not progress):
        array, _ = model.prepare(sample.read())
        image = torch.from_numpy(array)[None].to(device)
        inputs.append(tree_input(model.network, image, look)[0].float().cpu())
        with torch.no_grad():
            poor.append(float(model.probability(model.network(image))[0]))
    return Seen(inputs=torch.cat(inputs), poor=torch.tensor(poor, dtype=torch.float32))


def distil(
    recipe: SoftTreeRecipe,
    model: LoadedModel,
    samples: Sequence[Sample],
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> TreeCard:
    """Distil a classifier into a tree, in ``out/tree``, with its picture in ``out/tree.png``.

    Args:
        recipe: What to do.
        model: The classifier.
        samples: Images of the splits ``train`` and ``val``.
        out: Folder.
        resume: Go on from the last checkpoint, with what the classifier said then.
        progress: Whether to show progress bars.

    Returns:
        The tree's card.

    Raises:
        DatasetError: There are no training or no validation images, or one patient's are in both.
    """
    require_no_leak(samples)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "recipe.json", recipe.model_dump_json(indent=1).encode())
    train, val = by_split(samples, "train"), by_split(samples, "val")
    for name, part in (("training", train), ("validation", val)):
        if len(part) < 2:
            raise DatasetError(f"too few {name} images", expected="2 or more", got=str(len(part)))
    look = recipe.look
    if look.kind == "features":
        look = look.model_copy(update={"layer": look.layer or model.card.layers.last})
    parts = [
        _seen_before(out / f"seen-{name}.safetensors", look, model, part, resume, progress)
        for name, part in (("train", train), ("val", val))
    ]
    tree = SoftTree(recipe.depth, parts[0].inputs.shape[1], 2, recipe.sharpness)
    fit_tree(tree, parts[0], recipe, out, resume=resume)
    with torch.no_grad():
        leaves = tree.turns(parts[0].inputs).leaves.argmax(dim=1)
    names = model.card.classes
    poor = names[model.card.poor_class] if len(names) == 2 else "poor"
    good = names[1 - model.card.poor_class] if len(names) == 2 else "good"
    card = TreeCard(
        name=recipe.name,
        classifier=model.card.name,
        classifier_sha256=network_hash(model.network),
        classes=(good, poor),
        targets=tree_targets(model.card),
        depth=recipe.depth,
        sharpness=recipe.sharpness,
        look=look,
        inputs=parts[0].inputs.shape[1],
        threshold=model.card.threshold,
        fidelity=fidelity(tree, parts[1], model.card.threshold, [sample.patient for sample in val]),
        reached=tuple((torch.bincount(leaves, minlength=2**recipe.depth) / len(leaves)).tolist()),
        recipe=recipe.model_dump(mode="json"),
    )
    card = save_tree(out / "tree", tree, card)
    draw_tree(out / "tree.png", tree, card)
    return card


def tree_targets(card: BundleCard) -> tuple[int | None, int | None]:
    """The classes of a classifier that a tree's answers, good and poor, are; see `TreeCard`."""
    if len(card.problems) > 1:
        return None, None
    poor, outputs = target_of(card, 0), output_count(card)
    two = outputs == 1 or (outputs == 2 and card.outputs.task == "classes")
    return (1 - poor if two else None), poor


def _seen_before(
    path: Path,
    look: TreeInput,
    model: LoadedModel,
    samples: Sequence[Sample],
    resume: bool,
    progress: bool,
) -> Seen:
    """What the classifier said, read again where a run goes on: asking takes longer than growing the tree."""
    asked = "\n".join([model.card.digest(), look.model_dump_json(), *(sample.key for sample in samples)])
    mark = hashlib.sha256(asked.encode()).hexdigest()
    if resume and path.exists():
        with safetensors.safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("asked") == mark:
                return Seen(inputs=file.get_tensor("inputs"), poor=file.get_tensor("poor"))
    seen = see_images(model, samples, look, progress=progress)
    tensors = {"inputs": seen.inputs.contiguous(), "poor": seen.poor}
    write_atomic(path, safetensors.torch.save(tensors, metadata={"asked": mark}))
    return seen


def run(
    recipe: Path,
    data: Path | None,
    out: Path,
    *,
    model: str | None,
    resume: bool,
    seed: int | None,
    quick: bool = False,
) -> str:
    """Distil as a recipe says, and tell how faithful the tree is; see `xiqa.cli.train`.

    Raises:
        ConfigError: The recipe has a wrong value, no model is named, or there are no images.
    """
    plan, name = read_plan(SoftTreeRecipe, recipe, model=model, seed=seed, quick=quick)
    samples = [] if data is None else [*read_dataset(data).samples]
    samples += simulated_images(SOFT_TREE.take(plan.simulated, plan.seed))
    if not samples:
        raise ConfigError("no images to ask the classifier about", todo="name --data, or set simulated")
    card = distil(plan, load_model(name), samples, out, resume=resume)
    return "\n".join(
        [
            f"On {card.fidelity.images} validation images:",
            *(f"  {line}" for line in card.fidelity.lines()),
            f"The tree is in {out / 'tree'}, its picture {out / 'tree.png'}; an image's way, and a map:",
            f"  xiqa tree {out / 'tree'} --model {name} --image IMAGE",
            f"  xiqa explain IMAGE --model {name} --method softtree:bundle={out / 'tree'}",
        ]
    )
