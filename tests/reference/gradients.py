"""What is made of the gradient at the image, by differences instead of backpropagation; (C, H, W)."""

import numpy as np
from tests.reference.replicas import replicates


def slope(score, image, step=1e-5):
    """How the score changes with each value of the image, by a central difference."""
    found = np.zeros(image.shape)
    for place in np.ndindex(image.shape):
        up, down = image.copy(), image.copy()
        up[place] += step
        down[place] -= step
        found[place] = (score(up) - score(down)) / (2 * step)
    return found


def over_channels(values, norm):
    """One number a pixel."""
    found = np.zeros(values.shape[1:])
    for y, x in np.ndindex(found.shape):
        numbers = [float(channel[y, x]) for channel in values]
        found[y, x] = {
            "signed": sum(numbers),
            "l1": sum(abs(number) for number in numbers),
            "l2": sum(number * number for number in numbers) ** 0.5,
            "max": max(abs(number) for number in numbers),
        }[norm]
    return found


@replicates("gradient")
def gradient(score, image, norm):
    return over_channels(slope(score, image), norm)


@replicates("inputxgradient")
def inputxgradient(score, image, norm):
    return over_channels(image * slope(score, image), norm)


@replicates("integratedgradients", "integrated")
def integratedgradients(score, image, hidden, steps, norm):
    """The mean slope in the middles of equal steps from the hidden image to the image, times the way."""
    total = np.zeros(image.shape)
    for step in range(steps):
        total += slope(score, hidden + (step + 0.5) / steps * (image - hidden))
    return over_channels((image - hidden) * total / steps, norm)


@replicates("smoothgrad", "noisy")
def smoothgrad(score, image, noise, norm, squared=False):
    """The mean slope, or of its squares, over copies of the image with noise added."""
    total = np.zeros(image.shape)
    for drawn in noise:
        found = slope(score, image + drawn)
        total += found * found if squared else found
    return over_channels(total / len(noise), norm)
