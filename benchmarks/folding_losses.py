"""What folded batch norms and channels-last weights change in the answers; the gain is in bench_assess.

    python -m benchmarks.folding_losses [--images 12]

Simulated images: the largest change of a probability, of a Grad-CAM map as a part of its maximum, and how
many peaks moved.
"""

import argparse

import torch

import xiqa
from xiqa.assessment.runtimes.folding import folded
from xiqa.saliency.engine import attribute
from xiqa.simulation.chest import simulate_chest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=12)
    radiographs = parser.parse_args().images
    model = xiqa.load_model()
    card = model.card
    layers = dict.fromkeys((card.layers.last, *card.layers.multi, *card.guard_layers))
    networks = model.network, folded(model.network, tuple(layers), card.preprocessing.shape)
    probability, change, moved = 0.0, 0.0, 0
    for seed in range(700, 700 + radiographs):
        images = torch.from_numpy(model.prepare(simulate_chest(seed, size=(640, 640)).image)[0])[None]
        with torch.inference_mode():
            told = [float(model.probability(network(images))[0]) for network in networks]
        maps = [
            next(iter(attribute(network, images, f"gradcam:layers={card.layers.last}", target=1).values()))
            for network in networks
        ]
        probability = max(probability, abs(told[0] - told[1]))
        change = max(change, float((maps[0] - maps[1]).abs().max() / maps[0].abs().max()))
        moved += int(maps[0].argmax() != maps[1].argmax())
    print(f"probability {probability:.1e}, map {change:.1e}, {moved} of {radiographs} peaks moved")


if __name__ == "__main__":
    main()
