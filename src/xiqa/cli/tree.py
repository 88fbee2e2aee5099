"""`xiqa tree`: a soft decision tree as a picture, and one image's way through it."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    tree: Path = typer.Argument(help="Folder of a tree: RUN/tree of `xiqa train softtree`."),
    image: Path | None = typer.Option(None, help="Draw this image's way through the tree."),
    model: str = typer.Option(
        "cxr-foreign-objects", help="The classifier that the tree stands for: a name or a bundle's folder."
    ),
    out: Path = typer.Option(Path("xiqa-tree"), help="Folder for the pictures."),
) -> None:
    """Tell how faithful a tree is, and draw it; with an image, its way from the root to its likeliest leaf.

    Writes tree.png (filters and leaves) and, for an image, way.png: at every node what each place of the
    image adds to its turn.

    Example: xiqa tree runs/softtree/tree a.png
    """
    from xiqa.files import writing
    from xiqa.models.explainers.softtree import load_tree
    from xiqa.report.softtree import draw_tree

    loaded = load_tree(tree)
    card = loaded.card
    typer.echo(
        f"{card.name}: depth {card.depth}, of the classifier {card.classifier}, looking at {card.look.kind}"
    )
    typer.echo(f"on {card.fidelity.images} held-out images:")
    for line in card.fidelity.lines():
        typer.echo(f"  {line}")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        draw_tree(out / "tree.png", loaded.tree, card)
    typer.echo(f"{out / 'tree.png'}")
    if image is not None:
        _way(tree, image, model, out)


def _way(folder: Path, image: Path, model: str, out: Path) -> None:
    """Draw and tell one image's way."""
    import torch

    from xiqa.files import writing
    from xiqa.imaging import read_image
    from xiqa.models import load_model
    from xiqa.models.explainers.softtree import load_tree, place_weights, tree_input
    from xiqa.report.softtree import draw_way
    from xiqa.types import SaliencyMap

    loaded, classifier = load_tree(folder), load_model(model)
    tree, card = loaded.tree, loaded.card
    card.require(classifier.network)
    picture = read_image(image)
    array, frame = classifier.prepare(picture)
    inputs, source = tree_input(classifier.network, torch.from_numpy(array)[None], card.look)
    right = tree.turns(inputs).right[0]
    steps = []
    for node, goes_right in tree.way(inputs):
        turn, probability = "left", 1 - float(right[node])
        if goes_right:
            turn, probability = "right", float(right[node])
        values = place_weights(tree, tree.filters()[None, node], source, card.look)[0].cpu().numpy()
        saliency = SaliencyMap(
            values, "softtree", 1, input_size=classifier.card.preprocessing.size, frame=frame
        )
        steps.append((f"node {node}: {turn}, {probability:.2f}", saliency))
    distribution = tree.likeliest(inputs)[0].tolist()
    with writing(out):
        draw_way(out / "way.png", picture, steps, distribution, card)
    for title, _ in steps:
        typer.echo(title)
    leaf_text = ", ".join(
        f"{name} {value:.2f}" for name, value in zip(card.classes, distribution, strict=True)
    )
    with torch.no_grad():
        said = float(classifier.probability(classifier.network(torch.from_numpy(array)[None]))[0])
    typer.echo(f"leaf: {leaf_text}; the classifier says {card.classes[1]} {said:.2f}")
    typer.echo(f"{out / 'way.png'}")
