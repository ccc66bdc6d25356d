"""State dicts: which arrays are recurrent layers, by the names that torch gives them, and layers as such arrays."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from ...derive.errors import Error, expect
from .conventions import cell_of, table, unpack
from .layers import Layer, Stack, Trained
from .numbers import widened
from .pickled import read_pickled

ARRAY = re.compile(
    r"(?:(?P<stack>.*)\.)?(?P<role>(?:weight|bias)_(?:ih|hh|hr))(?:_l(?P<depth>\d+))?(?P<back>_reverse)?"
)


def from_torch(source: Mapping[str, Any] | str | os.PathLike[str], activation: str = "tanh") -> Trained:
    """Return the recurrent layers of a model that PyTorch has trained; torch need not be installed.

    The recurrent modules of `torch.nn` are known by the names and shapes of their arrays, stacked, bidirectional
    and projected ones too, and so are their cells.

    Args:
        source: a state dict (name -> tensor or array), or the path of one: .pt, .pth or .safetensors. Of a .pt file
            only numbers are read: it is never executed.
        activation: tanh or relu, of a plain recurrent layer: a state dict doesn't say.

    Raises:
        Error: where the file can't be read, holds more than numbers, or holds no recurrent layer.

    >>> arrays = {"rnn.weight_ih_l0": np.ones((4, 3)), "rnn.weight_hh_l0": np.eye(4), "rnn.bias_ih_l0": np.ones(4)}
    >>> trained = from_torch(arrays)
    >>> [layer] = trained.layers
    >>> layer.name, layer.cell.name, layer.params["b_h"]
    ('rnn.l0', 'rnn', array([1., 1., 1., 1.]))
    """
    if activation not in ("tanh", "relu"):
        raise Error(f"activation is '{activation}': torch has tanh and relu")
    if isinstance(source, Mapping):
        where, arrays = "state dict", {str(name): _array(value) for name, value in source.items()}
    else:
        expect("the source of weights", source, Mapping, str, os.PathLike)
        path = Path(source)
        where, arrays = str(path), (_safetensors if path.suffix == ".safetensors" else read_pickled)(path)
    found: dict[str, dict[tuple[int, bool], dict[str, NDArray[Any]]]] = {}
    for name, array in arrays.items():
        if match := ARRAY.fullmatch(name):
            place = int(match["depth"] or 0), bool(match["back"])
            found.setdefault(match["stack"] or "", {}).setdefault(place, {})[match["role"]] = array.astype(np.float64)
    if not found:
        if any(name.startswith("param/") for name in arrays):
            raise Error(f"{where}: a checkpoint of `bptt train`, not weights of PyTorch. Try: bptt inspect {where}")
        some = ", ".join(list(arrays)[:6]) or "nothing"
        raise Error(f"{where}: no recurrent layer is in it; one has arrays such as weight_ih_l0. There: {some}.")
    notes: list[str] = []
    stacks = tuple(_stack(name, layers, activation, where, notes) for name, layers in found.items())
    return Trained(where, "PyTorch", stacks, _embedding(arrays, stacks), tuple(dict.fromkeys(notes)))


def _stack(
    name: str,
    layers: Mapping[tuple[int, bool], Mapping[str, NDArray[Any]]],
    activation: str,
    where: str,
    notes: list[str],
) -> Stack:
    depths: dict[int, list[Layer]] = {}
    for (depth, reverse), arrays in sorted(layers.items()):
        label = f"{name}.l{depth}".lstrip(".") + "_reverse" * reverse
        if missing := {"weight_ih", "weight_hh"} - set(arrays):
            raise Error(
                f"{where}: layer {label} has no {' and no '.join(sorted(missing))}. A parametrised weight is made "
                "whole before state_dict(), with remove_parametrizations or remove_weight_norm of torch.nn.utils"
            )
        blocks, rest = divmod(len(arrays["weight_ih"]), arrays.get("weight_hr", arrays["weight_hh"]).shape[-1])
        key = f"{blocks}{'_projected' * ('weight_hr' in arrays)}"
        if rest or key not in table()["torch"]:
            shapes = ", ".join(f"{role} {' x '.join(map(str, array.shape))}" for role, array in arrays.items())
            raise Error(f"{where}: layer {label} is none of torch's own: {shapes}")
        layout = table()["torch"][key]
        functions = [f"{activation}(u)"] if blocks == 1 else []
        cell = cell_of(layout["cell"], functions)
        if blocks == 1:
            notes.append(f"A state dict doesn't say the activation of a plain recurrent layer: {activation} was taken.")
        params = unpack(layout, cell, arrays, f"{where}, {label}")
        depths.setdefault(depth, []).append(Layer(label, cell, params, reverse))
    return Stack(name, tuple(tuple(found) for _, found in sorted(depths.items())))


def state_dict(source: Trained | Layer) -> dict[str, NDArray[Any]]:
    """Return recurrent layers as torch's own modules hold them, wherever they come from.

    Where torch adds two biases, the first is the whole and the second is 0. `safetensors.numpy.save_file` writes what
    comes out, and a module's `load_state_dict` takes it once its values are tensors.

    Args:
        source: what `from_torch`, `from_keras` or `from_onnx` gives, or one layer. A stack is one module, called as the
            stack is; where its layers differ, each is one of its own.

    Raises:
        Error: for a layer whose equations, or direction, no module of torch has.

    >>> import bptt
    >>> cell = bptt.load("lstm")
    >>> found = state_dict(Layer("", cell, bptt.compile(cell).init({"m": 3, "n": 4})))
    >>> {name: array.shape for name, array in found.items()}["weight_ih_l0"]
    (16, 3)
    """
    stacks = source.stacks if isinstance(source, Trained) else (Stack("", ((source,),)),)
    found: dict[str, NDArray[Any]] = {}
    for stack in stacks:
        kinds = {tuple((layer.cell.text, layer.entries(layer.output)) for layer in depth) for depth in stack.depths}
        for place, layers in enumerate(stack.depths):
            name, depth = (stack.name, place) if len(kinds) == 1 else (layers[0].name, 0)
            ways = [layer.reverse for layer in layers]
            if ways not in ([False], [False, True]) or len(layers) == 2 and stack.merge != "concat":
                raise Error(f"layer {layers[0].name}: a module of torch goes forwards, or both ways side by side")
            for layer in layers:
                suffix = f"_l{depth}" + "_reverse" * layer.reverse
                found |= {f"{name}.{role}{suffix}".lstrip("."): array for role, array in _packed(layer).items()}
    return found


def _packed(layer: Layer) -> dict[str, NDArray[Any]]:
    """Return a layer's arrays in torch's order of blocks: `unpack` the other way."""
    for blocks, layout in table()["torch"].items():
        chosen = [["tanh(u)"], ["relu(u)"]] if blocks == "1" else [[]]
        if any(cell_of(layout["cell"], functions).text == layer.cell.text for functions in chosen):
            break
    else:
        own = "; ".join(table()["cells"][layout["cell"]]["title"] for layout in table()["torch"].values())
        raise Error(f"layer {layer.name or layer.cell.name} is none of torch's own. Those are: {own}.")
    found, given = {}, set()
    for role, names in layout.items():
        if role != "cell":
            parts = [layer.params[name] * (name not in given) for name in names]
            found[role] = np.concatenate(parts)
            given |= set(names)
    return found


def _embedding(arrays: Mapping[str, NDArray[Any]], stacks: Sequence[Stack]) -> NDArray[np.floating] | None:
    """Return the table of input vectors, where one array is called so and fits the first layer of a stack."""
    widths = {stack.depths[0][0].width for stack in stacks}
    fit = [a for name, a in arrays.items() if "emb" in name.lower() and a.ndim == 2 and a.shape[1] in widths]
    return fit[0].astype(np.float64) if len(fit) == 1 else None


def _safetensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        parts = safetensors.deserialize(path.read_bytes())
        parts.sort(key=lambda part: part[0])  # they come in an order that says nothing
        return {name: widened(part["dtype"], bytes(part["data"])).reshape(part["shape"]) for name, part in parts}
    except safetensors.SafetensorError as error:
        raise Error(f"{path}: can't be read as safetensors: {error}. Copy it again, and whole.") from None
    except (OSError, ValueError) as error:
        raise Error(f"{path}: can't be read as safetensors: {error}") from None


def _array(value: Any) -> NDArray[Any]:
    """Return a tensor as an array, on the processor and without its history."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)
