"""Files of Keras: .keras archives and .h5 files, read by h5py without Keras."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...derive.errors import Error, expect_path
from .conventions import cell_of, function, table, unpack
from .layers import Layer, Stack, Trained

Arrays = list[NDArray[Any]]
SEEN_THROUGH = ("Dropout", "SpatialDropout1D", "Masking", "InputLayer", "GaussianNoise", "GaussianDropout")
ROLES = ("kernel", "recurrent_kernel", "bias")


def from_keras(path: str | os.PathLike[str]) -> Trained:
    """Return the recurrent layers of a model that Keras has saved; Keras need not be installed, h5py must be.

    The three recurrent layers, their cells in an RNN, and both in Bidirectional, of Sequential and functional models.
    Layers are stacked where one reads the other, with only layers without effect at inference between them. Keras
    gives the steps of a layer that goes backwards in the order in which it took them; here each stands at its time, and
    layers above run the other way.

    Args:
        path: of a .keras archive, or of a .h5 file with its configuration. A file of weights alone doesn't say which
            functions the layers use.

    Raises:
        Error: where the file can't be read, or holds no recurrent layer, or one with a function not known here.
    """
    expect_path("the path of weights", path)
    where = Path(path)
    if not find_spec("h5py"):
        raise Error(f"{where}: files of Keras are read by h5py. Install it: pip install 'bptt[weights]'")
    h5py = import_module("h5py")
    try:
        if zipfile.is_zipfile(where):
            with zipfile.ZipFile(where) as archive:
                config = json.loads(archive.read("config.json"))
                version = json.loads(archive.read("metadata.json"))["keras_version"]
                with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                    found = dict(_archived(file, config["config"]["layers"]))
        else:
            with h5py.File(where) as file:
                if "model_config" not in file.attrs:
                    raise Error(f"{where}: holds weights alone. Save the whole model: model.save('model.keras').")
                config = json.loads(file.attrs["model_config"])
                version = _word(file.attrs.get("keras_version", "2"))
                found = {name: _listed(group) for name, group in file["model_weights"].items()}
    except Error:
        raise
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        why = f"can't be read as a model of Keras: {error}"
        raise Error(f"{where}: {why}. If it should be one, copy it again, and whole.") from None
    stacks = _stacks(config["config"]["layers"], found, str(where), version)
    if not stacks:
        kinds = [layer["class_name"] for layer in config["config"]["layers"]]
        inside = {"Sequential", "Functional", "Model"} & set(kinds)
        advice = " A model inside a model isn't looked into: save it alone." if inside else ""
        raise Error(f"{where}: no recurrent layer is in it. There: {', '.join(kinds)}.{advice}")
    embeddings = [
        found[layer["config"]["name"]][0]
        for layer in config["config"]["layers"]
        if layer["class_name"] == "Embedding" and found.get(layer["config"]["name"])
    ]
    fit = [e.astype(np.float64) for e in embeddings if e.shape[1] == stacks[0].depths[0][0].width]
    return Trained(str(where), "Keras", stacks, fit[0] if len(fit) == 1 else None)


def _archived(file: Any, layers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Arrays]]:
    """Give (layer's name, its arrays) of a .keras archive, where layers stand by class and order, not by name."""
    counts: dict[str, int] = {}
    for layer in layers:
        kind = _snake(layer["class_name"])
        counts[kind] = counts.get(kind, -1) + 1
        group = file["layers"].get(f"{kind}_{counts[kind]}" if counts[kind] else kind)
        if group is not None:
            yield layer["config"]["name"], _vars(group)


def _vars(group: Any) -> Arrays:
    """Return a layer's arrays in their order: its own, or its cell's, or those of both directions."""
    found: Arrays = []
    for part in ("vars", "cell", "forward_layer", "backward_layer"):
        if part == "vars" and part in group:
            found += [group[part][name][()] for name in sorted(group[part], key=int)]
        elif part in group:
            found += _vars(group[part])
    return found


def _listed(group: Any) -> Arrays:
    """Return a layer's arrays in the order that a .h5 file lists them in."""
    return [group[_word(name)][()] for name in group.attrs.get("weight_names", ())]


def _word(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)


def _snake(name: str) -> str:
    """Return a class's name as a .keras archive writes it.

    >>> [_snake(name) for name in ("SimpleRNN", "Bidirectional", "InputLayer", "Conv1D")]
    ['simple_rnn', 'bidirectional', 'input_layer', 'conv1d']
    """
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()


def _stacks(
    layers: Sequence[Mapping[str, Any]], found: Mapping[str, Arrays], where: str, version: str
) -> tuple[Stack, ...]:
    reads = _reads(layers)
    tops: dict[str, tuple[Stack, bool]] = {}  # last layer of a stack -> it, and whether its steps come last one first
    for layer in layers:
        made, how = _layers(layer, found, where, version)
        if not made:
            continue
        name = layer["config"]["name"]
        below, turned = tops.get(reads[name], (None, False))
        if below is not None and _follows(below, made, how):
            del tops[reads[name]]
        else:
            below, turned = Stack(name, (), how), False
        back = len(made) == 1 and made[0].reverse
        if turned:
            made = tuple(replace(one, reverse=not one.reverse) for one in made)
        merge = how if len(made) > 1 else below.merge
        tops[name] = Stack(below.name, (*below.depths, made), merge), turned ^ back
    return tuple(stack for stack, _ in tops.values())


def _reads(layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return layer -> the one that it reads, through those without effect at inference; "" for none.

    A functional model names what a layer is called with, and a sequential one has each read the layer before it.

    >>> dense, dropout, top = ({"class_name": kind, "config": {"name": kind}} for kind in ("Dense", "Dropout", "LSTM"))
    >>> _reads([dense, dropout, top])["LSTM"]
    'Dense'
    >>> _reads([dense, dropout, {**top, "inbound_nodes": [[["Dropout", 0, 0, {}]]]}])["LSTM"]
    'Dense'
    >>> _reads([dense, dropout, {**top, "inbound_nodes": [{"args": [{"keras_history": ["Dense", 0, 0]}]}]}])["LSTM"]
    'Dense'
    """
    found: dict[str, str] = {}
    before = ""
    for layer in layers:
        name = layer["config"]["name"]
        source = next(_sources(layer["inbound_nodes"]), "") if "inbound_nodes" in layer else before
        found[name] = source
        before = name
    seen_through = {layer["config"]["name"] for layer in layers if layer["class_name"] in SEEN_THROUGH}
    for name, source in found.items():
        while source in seen_through:
            source = found[source]
        found[name] = source
    return found


def _sources(nodes: Any) -> Iterator[str]:
    """Give the layers that a layer is called with: each stands as [name, number of the call, number of the output]."""
    if isinstance(nodes, Mapping):
        nodes = list(nodes.values())
    if isinstance(nodes, list):
        if len(nodes) > 2 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
            yield nodes[0] if nodes[2] == 0 else ""
        else:
            for one in nodes:
                yield from _sources(one)


def _follows(below: Stack, above: Sequence[Layer], how: str) -> bool:
    """Return whether layers can stand on a stack: they are as wide, and both directions become one in one way."""
    widths = [layer.entries(layer.output) for layer in below.depths[-1]]
    if len(above) > 1 and how != below.merge and any(len(depth) > 1 for depth in below.depths):
        return False
    return above[0].width == (sum(widths) if below.merge == "concat" else widths[0])


def _layers(
    layer: Mapping[str, Any], found: Mapping[str, Arrays], where: str, version: str
) -> tuple[tuple[Layer, ...], str]:
    """Return what one layer of the file is here, and how its directions become one; nothing if it isn't recurrent."""
    name = layer["config"]["name"]
    arrays = found.get(name, [])
    if layer["class_name"] == "Bidirectional":
        both = layer["config"]["layer"], layer["config"].get("backward_layer") or layer["config"]["layer"]
        (one, chosen), (other, chosen_back) = map(_plain, both)
        if one in table()["keras"] and other in table()["keras"]:
            if chosen.get("go_backwards"):
                raise Error(f"{where}, layer {name}: its forward layer goes backwards, which isn't read")
            count = 2 + bool(chosen.get("use_bias", True))
            forward = _layer(one, chosen, name, arrays[:count], False, where, version)
            backward = _layer(other, chosen_back, f"{name}_reverse", arrays[count:], True, where, version)
            return (forward, backward), layer["config"].get("merge_mode") or "concat"
    kind, config = _plain(layer)
    if kind in table()["keras"]:
        back = bool(layer["config"].get("go_backwards"))
        return (_layer(kind, config, name, arrays, back, where, version),), "concat"
    if kind == "RNN":
        raise Error(f"{where}, layer {name}: its cells aren't known here. Known: {', '.join(table()['keras'])}.")
    return (), "concat"


def _plain(layer: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return a layer's class and configuration; of an RNN around one cell those of the layer that is the same."""
    cell = layer["config"].get("cell") or {}
    kind = str(cell.get("class_name", "")).removesuffix("Cell")
    return (kind, cell["config"]) if kind in table()["keras"] else (layer["class_name"], layer["config"])


def _layer(
    kind: str, config: Mapping[str, Any], label: str, arrays: Arrays, back: bool, where: str, version: str
) -> Layer:
    here = f"{where}, layer {label}"
    if len(arrays) < 2:
        raise Error(f"{here}: its weights aren't in the file")
    key = f"{kind}_reset_after" if config.get("reset_after") else kind
    layout = table()["keras"][key]
    count = len(table()["cells"][layout["cell"]]["functions"])
    names = [config.get("recurrent_activation"), config["activation"]] if count > 1 else [config["activation"]]
    functions = [_function(name, here, version) for name in names]
    cell = cell_of(layout["cell"], [*functions, *functions[-1:] * (count - len(functions))])
    turned = dict(zip(ROLES, (array.astype(np.float64) for array in arrays), strict=False))
    turned = {role: array.reshape(-1) if role == "bias" else array.T for role, array in turned.items()}
    return Layer(label, cell, unpack(layout, cell, turned, here), back)


def _function(name: Any, where: str, version: str) -> str:
    if not isinstance(name, str):
        raise Error(f"{where}: its function is an object of its own, which only running code could make")
    older = f"{name}_2"
    if version.startswith("2") and older in table()["functions"]["keras"]:
        name = older
    return function("keras", name, where)
