"""Slow replicas of the perturbation methods: one copy of the image at a time, loops as in the papers."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from tests.reference.replicas import replicates


@replicates("occlusion")
def occlusion(score, image, hidden, corners, window):
    """Mean drop over the windows (top-left corners given) that cover each pixel."""
    rows, columns = image.shape[1:]
    total, cover = np.zeros((rows, columns)), np.zeros((rows, columns))
    whole = float(score(image[None]))
    for y, x in corners:
        copy = image.clone()
        for i in range(y, y + window[0]):
            for j in range(x, x + window[1]):
                copy[:, i, j] = hidden[:, i, j]
        drop = whole - float(score(copy[None]))
        for i in range(y, y + window[0]):
            for j in range(x, x + window[1]):
                total[i, j] += drop
                cover[i, j] += 1
    return total / cover


@replicates("rise")
def rise(score, image, hidden, masks, keep):
    """Sum of the masks, each weighted by its score, over their number and their mean."""
    total = np.zeros(image.shape[1:])
    for mask in masks:
        total += float(score((mask * image + (1 - mask) * hidden)[None])) * mask.double().numpy()
    return total / (len(masks) * keep)


@replicates("kernelshap")
def shapley(value, players):
    """Shapley values from the definition: the mean marginal gain over all orders of the players."""
    gains = np.zeros(players)
    for order in itertools.permutations(range(players)):
        present: set[int] = set()
        for player in order:
            before = value(present)
            present = present | {player}
            gains[player] += value(present) - before
    return gains / math.factorial(players)


@replicates("lime")
def ridge(shown, scores, weights, penalty):
    """Weighted ridge regression by its normal equations, intercept not penalised."""
    design = np.hstack([np.ones((len(shown), 1)), shown])
    weights = np.asarray(weights) / np.sum(weights) * len(shown)
    punish = penalty * np.eye(design.shape[1])
    punish[0, 0] = 0
    gram = design.T @ np.diag(weights) @ design + punish
    return np.linalg.solve(gram, design.T @ (weights * scores))[1:]


@replicates("scorecam")
def scorecam(score, image, channels, *, softmax):
    """Score-CAM, channel by channel."""
    weights, used = [], []
    for channel in channels:
        large = F.interpolate(channel[None, None], image.shape[1:], mode="bilinear", align_corners=False)[
            0, 0
        ]
        if channel.max() == channel.min():
            continue
        mask = (large - large.min()) / (large.max() - large.min())
        weights.append(float(score((image * mask)[None])))
        used.append(channel)
    weights = np.array(weights)
    if softmax:
        weights = np.exp(weights - weights.max()) / np.exp(weights - weights.max()).sum()
    total = sum(w * c.double().numpy() for w, c in zip(weights, used, strict=True))
    return np.maximum(total, 0)


@replicates("ablationcam")
def ablation(head, features, score):
    """Ablation-CAM: the drop without one channel at a time, over the score (``head``: features to logits)."""
    whole = float(score(head(features)))
    total = np.zeros(features.shape[2:])
    for k in range(features.shape[1]):
        without = features.clone()
        without[:, k] = 0
        total += (whole - float(score(head(without)))) / abs(whole) * features[0, k].double().numpy()
    return np.maximum(total, 0)


@replicates("reciprocam")
def recipro(head, features, score, *, kernel):
    """Recipro-CAM, position by position: ``1x1``, ``neighbour`` (weighted) or ``centre`` (spread)."""
    gaussian = {0: 1 / 2, 1: 1 / 4}
    rows, columns = features.shape[2:]
    out = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            masked = torch.zeros_like(features)
            reach = 0 if kernel == "1x1" else 1
            for y in range(max(0, i - reach), min(rows, i + reach + 1)):
                for x in range(max(0, j - reach), min(columns, j + reach + 1)):
                    weight = 1.0 if kernel == "1x1" else gaussian[abs(y - i)] * gaussian[abs(x - j)]
                    source = features[:, :, i, j] if kernel == "centre" else features[:, :, y, x]
                    masked[:, :, y, x] = weight * source
            out[i, j] = float(score(head(masked)))
    return out
