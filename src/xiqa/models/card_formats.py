"""Model cards of older formats, brought into the present one.

Format 1 spoke of chests: the lungs were an entry of the preprocessing, and detectors were scored on objects
``anywhere``, over the ``thorax`` and ``compact``. Format 2 has a named region and groups of objects.
"""

from __future__ import annotations

from typing import Any

__all__ = ["upgraded_card"]

_GROUPS = {"anywhere": "removable", "thorax": "problem", "compact": "compact"}


def upgraded_card(content: dict[str, Any]) -> dict[str, Any]:
    """The entries of a card of format 1 as format 2 spells them.

    Args:
        content: The card's JSON; stays as it is.

    >>> upgraded_card({"format": 1, "preprocessing": {"size": [8, 8], "lungs": "whole"}})
    {'format': 2, 'preprocessing': {'size': [8, 8], 'region': None}}
    """
    card = {**content, "format": 2}
    for holder in (card, recipe := dict(card.get("recipe") or {})):
        if "preprocessing" in holder:
            holder["preprocessing"] = _preprocessing(holder["preprocessing"])
    if recipe:
        card["recipe"] = recipe
    if "films" in recipe.get("data", {}):
        recipe["data"] = _renamed(recipe["data"], {"films": "images"})
    if "evaluations" in card:
        card["evaluations"] = [_evaluation(entry) for entry in card["evaluations"]]
    return card


def _preprocessing(content: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in content.items() if not name.startswith("lung")}
    how = content.get("lungs", "whole")
    if how == "whole":
        return kept | {"region": None}
    model = content.get("lung_model", "lungs-1")
    return kept | {
        "region": {"name": "lungs", "how": how, "margin": content.get("lung_margin", 0.05), "model": model}
    }


def _evaluation(content: dict[str, Any]) -> dict[str, Any]:
    entry = dict(content)
    entry["name"] = entry.pop("films")
    entry["reliability"] = [_renamed(row, {"films": "images"}) for row in entry.get("reliability", ())]
    entry["localisation"] = [_localisation(row) for row in entry.get("localisation", ())]
    return entry


def _localisation(content: dict[str, Any]) -> dict[str, Any]:
    row = {name: value for name, value in content.items() if name not in _GROUPS}
    return row | {"groups": {group: content[name] for name, group in _GROUPS.items() if name in content}}


def _renamed(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items()}
