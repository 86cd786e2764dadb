# SPDX-License-Identifier: Apache-2.0
"""The settings and plain attributes of a model, as a pickle of plain data and back."""

from __future__ import annotations

from typing import Any, Dict, List

from absl import logging

from idl.matrix.proto import example_pb2
from monolith.core.hyperparams import Params
from monolith.native_training.model_dump._plain_pickle import dump_plain, is_plain, load_plain

__all__ = ["dump_params", "load_params", "plain_attributes"]

# Attributes of a model that belong to the graph being built, or that have their own place in a dump.
_SKIPPED = frozenset(["dump_utils", "fc_dict", "fs_dict", "slice_dict", "layout_dict", "losses", "p", "params"])
_LAYOUTS = "_layout_dict"
_HOOKS = "_training_hooks"


def plain_attributes(model: Any) -> Dict[str, Any]:
  """The attributes of a model that are public and plain data. Callables are passed over, others left out by name."""
  found: Dict[str, Any] = {}
  left_out: List[str] = []
  for name, value in vars(model).items():
    if name.startswith("_") or name in _SKIPPED or callable(value):
      continue
    if is_plain(value):
      found[name] = value
    else:
      left_out.append(name)
  _tell(left_out, "attributes of the model")
  return found


def dump_params(model: Any, attributes: Dict[str, Any]) -> bytes:
  """A pickle of `attributes`, of the settings `p` of a model and of its layouts.

  Settings whose values are no plain data (classes, functions) are None there; the log names them.
  """
  values = dict(attributes)
  left_out: List[str] = []
  if isinstance(getattr(model, "p", None), Params):
    values["p"] = _plain_params(model.p, "", left_out)
  _tell(left_out, "settings")
  layouts = getattr(model, _LAYOUTS, None) or {}
  values[_LAYOUTS] = {name: config.SerializeToString() for name, config in layouts.items()}
  return dump_plain(values, "the model's parameters")


def _tell(names: List[str], what: str) -> None:
  if names:
    logging.warning("The dump leaves out %s that are no plain data: %s.", what, ", ".join(names))


def _plain_params(params: Params, prefix: str, left_out: List[str]) -> Params:
  """A copy whose values are plain data."""
  result = Params()
  for name, value in params.iter_params():
    full_name = f"{prefix}{name}"
    if isinstance(value, Params):
      value = _plain_params(value, f"{full_name}.", left_out)
    elif not is_plain(value):
      # What the settings are of is known to whoever makes a model of them.
      if full_name != "cls":
        left_out.append(full_name)
      value = None
    result.define(name, value, params.description(name))
  return result


def load_params(data: bytes) -> Dict[str, Any]:
  """What `dump_params` wrote, with layouts as OutConfig.

  Raises:
    ValueError: there are no layouts, or the pickle holds more than plain data.
  """
  values = load_plain(data, "ProtoModel.params")
  if not isinstance(values, dict) or _LAYOUTS not in values:
    raise ValueError(f"ProtoModel.params has no {_LAYOUTS}; it was not written by DumpUtils.add_model_fn.")
  values.pop(_HOOKS, None)
  values[_LAYOUTS] = {name: example_pb2.OutConfig.FromString(text) for name, text in values[_LAYOUTS].items()}
  return values
