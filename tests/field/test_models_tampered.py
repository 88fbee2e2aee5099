"""Models from elsewhere: another graph under an old card, files without an end, entries that lie."""

import json
import os
import random

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from typer.testing import CliRunner

from xiqa.assessment.runtimes.onnx import OnnxRuntime
from xiqa.cli.models import app
from xiqa.config import recipe_entries
from xiqa.errors import BundleError, ConfigError
from xiqa.export import export_model
from xiqa.files import regular_bytes
from xiqa.models.architecture import Architecture
from xiqa.models.backbones import build_network
from xiqa.models.bundle import load_model, save_bundle
from xiqa.models.card import BundleCard, Layers
from xiqa.models.explainers.generator_bundle import load_generators
from xiqa.models.explainers.softtree import load_tree
from xiqa.models.exported import ExportedCard, graph_digest
from xiqa.models.preprocess import Preprocessing
from xiqa.models.regions.lungs import LungMask
from xiqa.models.shelf import read_card

SIZE = (32, 40)
TEXT = dict.fromkeys(("intended_use", "limits", "not_for", "training_data", "licence"), "a test")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    architecture = Architecture(backbone="test_resnet")
    card = BundleCard(
        name="tiny",
        created="2026-01-01",
        architecture=architecture,
        preprocessing=Preprocessing(size=SIZE),
        classes=("fine", "poor"),
        poor_class=1,
        temperature=1.7,
        threshold=0.4,
        review_band=(0.3, 0.5),
        layers=Layers(last="layer4", multi=("layer3", "layer4")),
        method="gradcam",
        **TEXT,
    )
    folder = tmp_path_factory.mktemp("bundle")
    save_bundle(folder, build_network(architecture), card)
    return folder


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    file = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export_model(load_model(bundle), file)
    return file


def scale_weights(proto):
    weight = next(one for one in proto.graph.initializer if len(one.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(weight), weight.name))


def drop_a_node(proto):
    node = next(node for node in proto.graph.node if node.op_type == "Relu")
    for other in proto.graph.node:
        for place, name in enumerate(other.input):
            if name == node.output[0]:
                other.input[place] = node.input[0]
    proto.graph.node.remove(node)


def rename_an_attribute(proto):
    node = next(node for node in proto.graph.node if node.op_type == "Conv")
    attribute = next(one for one in node.attribute if one.name == "pads")
    attribute.ints[0], attribute.ints[2] = attribute.ints[2] + 1, attribute.ints[0] - 1


def edit_card(**changes):
    def change(proto):
        entry = next(entry for entry in proto.metadata_props if entry.key == "xiqa")
        entry.value = json.dumps({**json.loads(entry.value), **changes})

    return change


CHANGES = {
    "weights": (scale_weights, "is not the one that its card is of"),
    "nodes": (drop_a_node, "is not the one that its card is of"),
    "attributes": (rename_an_attribute, "is not the one that its card is of"),
    "guard limit": (edit_card(guard_limit=1e9), "was changed"),
    "method": (edit_card(method="layercam"), "was changed"),
    "graph hash": (edit_card(graph_sha256="0" * 64), "was changed"),
}


@pytest.mark.long
@pytest.mark.parametrize("change", CHANGES)
def test_a_graph_or_card_that_was_changed_is_refused(change, exported, tmp_path):
    edit, message = CHANGES[change]
    proto = onnx.load(exported)
    edit(proto)
    onnx.save(proto, tmp_path / "changed.onnx")
    with pytest.raises(BundleError, match=message):
        OnnxRuntime(tmp_path / "changed.onnx")


@pytest.mark.long
def test_what_other_tools_write_into_the_metadata_changes_no_graph(exported, tmp_path):
    proto = onnx.load(exported)
    proto.metadata_props.add(key="hospital", value="north")
    onnx.save(proto, tmp_path / "same.onnx")
    assert OnnxRuntime(tmp_path / "same.onnx").card == OnnxRuntime(exported).card


@pytest.mark.long
def test_a_file_that_names_no_graph_is_refused(exported, tmp_path):
    proto = onnx.load(exported)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    old = ExportedCard.from_metadata(metadata, "file").to_dict()
    del old["graph_sha256"], old["sha256"]
    next(entry for entry in proto.metadata_props if entry.key == "xiqa").value = json.dumps(old)
    onnx.save(proto, tmp_path / "old.onnx")
    with pytest.raises(BundleError, match=r"does not say which graph.*export the model again"):
        OnnxRuntime(tmp_path / "old.onnx")


def rebound(proto):
    """The file with its card bound to the graph as it is now, as a mistaken tool might write it."""
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    card = ExportedCard.from_metadata(metadata, "file").bound_to(proto.SerializeToString())
    next(entry for entry in proto.metadata_props if entry.key == "xiqa").value = card.to_metadata()["xiqa"]
    return proto


@pytest.mark.long
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("lost", ["probability", "heatmap", "logits", "images"])
def test_a_graph_without_its_ends_is_refused(lost, engine, exported, tmp_path):
    proto = onnx.load(exported)
    if lost == "images":
        proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 0
        proto.graph.input.add().CopyFrom(onnx.helper.make_tensor_value_info("other", 1, [1]))
    else:
        for output in [one for one in proto.graph.output if one.name == lost]:
            proto.graph.output.remove(output)
    onnx.save(rebound(proto), tmp_path / "lost.onnx")
    with pytest.raises(BundleError, match=r"is not one that xiqa exported|cannot be run"):
        OnnxRuntime(tmp_path / "lost.onnx", engine)


@pytest.mark.parametrize("content", [b"\x08", b"\xff" * 12, b"\x3a\xff\xff\xff\xff\x0f", b"\x0b", b"\x0f"])
def test_what_is_no_message_has_no_digest(content):
    with pytest.raises(BundleError):
        graph_digest(content)


def test_the_digest_is_of_everything_but_the_metadata():
    model = onnx.ModelProto(ir_version=8, producer_name="one")
    plain = graph_digest(model.SerializeToString())
    model.metadata_props.add(key="a", value="b")
    assert graph_digest(model.SerializeToString()) == plain
    model.producer_name = "two"
    assert graph_digest(model.SerializeToString()) != plain


# --- files that do not end


def a_fifo(path):
    os.mkfifo(path)


def a_device(path):
    path.symlink_to("/dev/zero")


def a_folder(path):
    path.mkdir()


def a_sparse_file(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


KINDS = [a_fifo, a_device, a_folder, a_sparse_file]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_bundle_with_a_file_that_does_not_end_is_refused_at_once(kind, name, bundle, tmp_path):
    for part in ("model.json", "model.safetensors"):
        (tmp_path / part).write_bytes((bundle / part).read_bytes())
    (tmp_path / name).unlink()
    kind(tmp_path / name)
    with pytest.raises(BundleError, match=name):
        load_model(tmp_path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", KINDS)
def test_so_are_other_models_and_recipes(kind, tmp_path):
    for folder, name in (("tree", "tree.json"), ("generators", "generators.json")):
        (tmp_path / folder).mkdir()
        kind(tmp_path / folder / name)
    for load, folder in ((load_tree, "tree"), (load_generators, "generators")):
        with pytest.raises(BundleError):
            load(tmp_path / folder)
    kind(tmp_path / "model.onnx")
    with pytest.raises(BundleError, match="no model"):
        OnnxRuntime(tmp_path / "model.onnx")
    kind(tmp_path / "recipe.toml")
    with pytest.raises(ConfigError, match=r"recipe\.toml"):
        recipe_entries(tmp_path / "recipe.toml")
    if kind is not a_sparse_file:
        kind(tmp_path / "lungs.safetensors")
        with pytest.raises(BundleError):
            LungMask.load(tmp_path / "lungs.safetensors")


def test_bytes_are_read_whole_up_to_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert regular_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        regular_bytes(tmp_path / "file", 4)


# --- cards that lie


def with_entries(bundle, folder, change):
    """A bundle whose card was changed and sealed again."""
    from xiqa.models.sealed import _digest

    content = json.loads((bundle / "model.json").read_text())
    change(content)
    content["card_sha256"] = _digest(content)
    (folder / "model.json").write_text(json.dumps(content))
    (folder / "model.safetensors").write_bytes((bundle / "model.safetensors").read_bytes())
    return folder


NONSENSE = {
    "no mean": lambda card: card["preprocessing"].update(mean=[], std=[]),
    "one channel": lambda card: card["preprocessing"].update(mean=[0.5], std=[0.5]),
    "no spread": lambda card: card["preprocessing"].update(std=[0.5, 0.0, 0.5]),
    "a mean that is no number": lambda card: card["preprocessing"].update(mean=[0.5, float("nan"), 0.5]),
    "an endless spread": lambda card: card["preprocessing"].update(std=[0.5, float("inf"), 0.5]),
    "no pixels": lambda card: card["preprocessing"].update(size=[0, 40]),
    "too many pixels": lambda card: card["preprocessing"].update(size=[10**9, 10**9]),
    "a negative temperature": lambda card: card.update(temperature=-1.0),
    "an endless temperature": lambda card: card.update(temperature=float("inf")),
    "a threshold beyond 1": lambda card: card.update(threshold=1.5, review_band=[0.2, 1.7]),
    "a poor class that is none": lambda card: card.update(poor_class=7),
    "no classes": lambda card: card.update(classes=[]),
    "a head without end": lambda card: card["architecture"].update(head="evidence", width=10**9),
    "dense layers without end": lambda card: card["architecture"].update(
        head="mlp", input_size=[8192, 8192], pool=1, hidden=65_536
    ),
    "stages that are none": lambda card: card["architecture"].update(head="evidence", stages=[14, 15, 16]),
    "no stages": lambda card: card["architecture"].update(head="evidence", stages=[]),
    "another network": lambda card: card["architecture"].update(backbone="nonsense"),
    "a layer that is none": lambda card: card["layers"].update(last="nowhere"),
    "a guard that is none": lambda card: card.update(guard_layers=["layer4"]),
    "no text but a number": lambda card: card.update(name=7),
    "escape codes in the name": lambda card: card.update(name="good\x1b[2J\x1b]0;owned\x07"),
    "escape codes in a class": lambda card: card.update(classes=["fine", "\x9b31mpoor"]),
    "escape codes in the recipe": lambda card: card.update(recipe={"a": [{"b": "\x1b[8m"}]}),
    "a name that turns around": lambda card: card.update(name="\u202egnihton"),
    "half a character": lambda card: card.update(licence="\ud83d"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("lie", NONSENSE)
def test_cards_that_lie_are_refused_with_their_file(lie, bundle, tmp_path):
    with pytest.raises(BundleError) as raised:
        load_model(with_entries(bundle, tmp_path, NONSENSE[lie]))
    assert str(tmp_path) in str(raised.value)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{", "[]", "7", '{"format": NaN}', '{"threshold": 1e999}', "\x00"]
)
def test_what_is_no_card_is_refused(text, tmp_path):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(BundleError, match=r"model\.json"):
        read_card(tmp_path)


def test_no_escape_code_reaches_the_terminal(bundle, tmp_path):
    folder = with_entries(bundle, tmp_path, NONSENSE["escape codes in the name"])
    done = CliRunner().invoke(app, ["show", str(folder)])
    assert isinstance(done.exception, BundleError)
    assert "\x1b" not in done.output + str(done.exception)
    assert "control characters" in str(done.exception)


def test_lines_tabs_and_all_scripts_are_no_commands(bundle, tmp_path):
    text = "Radiografía\tשלום عربي 放射線\nsecond line 👩\u200d⚕️"
    folder = with_entries(bundle, tmp_path, lambda card: card.update(limits=text))
    assert load_model(folder).card.limits == text


# --- loading draws nothing that a program's own numbers depend on


def states():
    of_numpy = np.random.get_state()[1].tolist()  # noqa: NPY002 - the one that others use
    return torch.random.get_rng_state().tolist(), of_numpy, random.getstate()


@pytest.mark.long
def test_loading_and_exporting_a_model_advances_no_random_state(bundle, tmp_path):
    torch.manual_seed(5)
    before = states()
    model = load_model(bundle)
    assert states() == before
    export_model(model, tmp_path / "model.onnx", method="cam")
    assert states() == before
    load_model()
    LungMask.load()
    assert states() == before
