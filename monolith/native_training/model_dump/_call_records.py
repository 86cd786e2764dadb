# SPDX-License-Identifier: Apache-2.0
"""What a model's calls ask for, as messages of a dump: features, slices, serving inputs."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Dict, List, Mapping

import tensorflow as tf
from absl import logging

from monolith.native_training.data import parsers
from monolith.native_training.data.utils import get_feature_name_and_slot
from monolith.native_training.feature import DEFAULT_EXPIRE_TIME, FeatureColumn
from monolith.native_training.model_dump import monolith_model_pb2
from monolith.native_training.model_dump._literals import receiver_literal

__all__ = ["add_feature", "add_receiver", "add_slice", "arguments_of", "check_recordable_slice", "fill_defaults"]

_COMBINERS = {"reduce_sum": "ReduceSum", "reduce_mean": "ReduceMean", "first_n": "FirstN"}


@functools.cache
def _signature(func: Callable[..., Any]) -> inspect.Signature:
  return inspect.signature(func)


def fill_defaults(func: Callable[..., Any], kwargs: Dict[str, Any]) -> Dict[str, Any]:
  """Puts the defaults of `func` in the place of those `kwargs` that are None; changes and returns `kwargs`."""
  for name, parameter in _signature(func).parameters.items():
    if name in kwargs and kwargs[name] is None and parameter.default is not inspect.Parameter.empty:
      kwargs[name] = parameter.default
  return kwargs


def arguments_of(func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any]) -> Dict[str, Any]:
  """{parameter: value} of a call, with defaults; `self` included.

  Raises:
    TypeError: the call does not fit.
  """
  bound = _signature(func).bind(*args, **kwargs)
  bound.apply_defaults()
  return dict(bound.arguments)


def _name_of(model: Any, item: Any) -> str:
  if isinstance(item, FeatureColumn):
    return item.feature_name
  return getattr(model, "_name_and_slot", get_feature_name_and_slot)(item)[0]


def _fields(message: Any, arguments: Mapping[str, Any]) -> Dict[str, Any]:
  """The arguments that the message has fields for, and that are given; the others are told in the log."""
  known = message.DESCRIPTOR.fields_by_name
  for name in (name for name in arguments if name not in known and name not in ("self", "model")):
    logging.warning("%s has no field for the argument %s, which the dump leaves out.", message.DESCRIPTOR.name, name)
  return {name: value for name, value in arguments.items() if name in known and value is not None}


def add_feature(proto: monolith_model_pb2.ProtoModel, arguments: Mapping[str, Any]) -> None:
  """Adds a feature by the arguments of `create_embedding_feature_column`, when first asked for."""
  model = arguments.get("self")
  message = monolith_model_pb2.FeatureColumn()
  for name, value in _fields(message, arguments).items():
    if name in ("feature_name", "shared_name"):
      value = _name_of(model, value)
    elif name == "combiner":
      message.max_seq_length = message.max_seq_length or getattr(value, "max_seq_length", 0)
      value = _COMBINERS.get(value, value) if isinstance(value, str) else type(value).__name__
    setattr(message, name, value)
  if arguments.get("occurrence_threshold") is None:
    message.occurrence_threshold = getattr(getattr(model, "p", None), "default_occurrence_threshold", None) or 0
  if all(known.feature_name != message.feature_name for known in proto.features):
    proto.features.append(message)


def check_recordable_slice(arguments: Mapping[str, Any]) -> None:
  """Raises ValueError if a slice has a learning rate of its own, which a dump has no field for."""
  if arguments.get("learning_rate_fn") is not None:
    raise ValueError(
      f"slice {arguments.get('slice_name')!r} has a learning_rate_fn, which a dump cannot hold; give the rate in the "
      "optimizer's config, or switch enable_model_dump off."
    )


def add_slice(proto: monolith_model_pb2.ProtoModel, arguments: Mapping[str, Any], result: Any) -> None:
  """Adds a slice by the arguments of `lookup_embedding_slice` and what that gave."""
  model = arguments.get("self")
  message = proto.emb_slices.add()
  for name, value in _fields(message, {k: v for k, v in arguments.items() if k != "learning_rate_fn"}).items():
    if name == "features":
      message.features = repr(_plain(value))
    elif name in ("initializer", "optimizer", "compressor"):
      getattr(message, name).CopyFrom(value.as_proto())
    else:
      setattr(message, name, value)
  message.output_tensor_names.extend(tensor.name for tensor in tf.nest.flatten(result))
  for feature in _features_in(arguments["features"], arguments.get("slice_dim")):
    # Layouts look features up for which no column is made.
    add_feature(proto, {"self": model, "feature_name": feature, "expire_time": DEFAULT_EXPIRE_TIME})


def _plain(features: Any) -> Any:
  if isinstance(features, FeatureColumn):
    return features.feature_name
  if isinstance(features, Mapping):
    return {_plain(feature): dim for feature, dim in features.items()}
  if isinstance(features, (list, tuple)):
    return [_plain(item) for item in features] if isinstance(features, list) else tuple(map(_plain, features))
  return features


def _features_in(features: Any, slice_dim: Any) -> List[Any]:
  if isinstance(features, Mapping):
    return list(features)
  if not isinstance(features, (list, tuple)):
    return [features]
  if slice_dim is None:
    return [item[0] for item in features]
  return [feature for item in features for feature in (item if isinstance(item, (list, tuple)) else [item])]


def add_receiver(proto: monolith_model_pb2.ProtoModel, receiver: Any) -> None:
  """Notes what a receiver function gave.

  Raises:
    ValueError: its features are no dict of tensors.
  """
  if not isinstance(receiver.features, Mapping):
    raise ValueError(f"the receiver's features are {type(receiver.features).__name__}; a dump holds a dict of tensors.")
  message = proto.serving_input_receiver_fn
  message.Clear()
  message.SetInParent()
  for name, value in receiver.features.items():
    message.features[name] = receiver_literal(name, value)
  tensors = receiver.receiver_tensors
  named = dict(tensors) if isinstance(tensors, Mapping) else {"input": tensors}
  message.receiver_name.update({name: tensor.name for name, tensor in named.items()})
  message.parser_type = parsers.get_default_parser_ctx().parser_type or ""
