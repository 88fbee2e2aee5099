"""Several threads with one model get the answers that one gets."""

import asyncio
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import xiqa
from xiqa.assessment.loading import as_runtime
from xiqa.saliency.state import evaluating
from xiqa.simulation.chest import simulate_chest

COUNT = 6


@pytest.fixture(scope="module")
def images():
    return [simulate_chest(seed, size=(160, 128)).image for seed in range(COUNT)]


@pytest.fixture(scope="module")
def runtime():
    return as_runtime(xiqa.load_model())


def answer(result):
    distance = result.provenance["guard_distance"]
    return result.probability, distance, result.findings, result.saliency.values.tobytes()


def assess(runtime, image, method=None):
    return answer(xiqa.assess(runtime, image, method=method)[0])


@pytest.fixture(scope="module")
def alone(runtime, images):
    answers = [assess(runtime, image) for image in images]
    assert len({(probability, distance) for probability, distance, *_ in answers}) == COUNT
    return answers


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_with_one_runtime(runtime, images, alone, threads):
    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(lambda image: assess(runtime, image), images * 2)) == alone * 2


def test_threads_that_each_name_the_model(images, alone):
    model = xiqa.load_model()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda image: assess(model, image), images)) == alone


@pytest.mark.long
def test_threads_with_different_methods(runtime, images):
    methods = ["gradcam", "gradient", "guidedbackprop"] * 2
    expected = [assess(runtime, *pair) for pair in zip(images, methods, strict=True)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(assess, [runtime] * COUNT, images, methods)) == expected


def test_asyncio(runtime, images, alone):
    async def every():
        return await asyncio.gather(*(asyncio.to_thread(assess, runtime, image) for image in images))

    assert asyncio.run(every()) == alone


def test_a_network_in_training_mode_is_put_back_by_the_last_that_leaves():
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).train()
    network[1].eval()
    first, second = evaluating(network), evaluating(network)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(module.training for module in network.modules())
    second.__exit__(None, None, None)
    assert [module.training for module in network.modules()] == [True, True, False]
    assert not torch.is_inference_mode_enabled()


FORKED = """
import os, sys, torch, xiqa
from xiqa.assessment.loading import as_runtime
from xiqa.simulation.chest import simulate_chest

torch.set_num_threads(2)
image, runtime = simulate_chest(1, size=(160, 128)).image, as_runtime(xiqa.load_model())
before = xiqa.assess(runtime, image)[0].probability
if os.fork() == 0:
    after = xiqa.assess(runtime, image)[0].probability
    print(before, after, torch.get_num_threads(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_after_use_works_with_one_thread():
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=300, env=environment
    )
    before, after, threads = done.stdout.split()
    assert abs(float(before) - float(after)) < 1e-5
    assert threads == "1"
