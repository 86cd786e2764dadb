# SPDX-License-Identifier: Apache-2.0
"""Activations as layers, by name.

Keras' own activation layers are used where there are any. `get` turns what a model author may write (a name, a layer, a
function, a saved config) into a layer; `serialize` and `deserialize` carry a layer through a config as one string.
Each takes a float tensor of any shape and returns one of the same shape and dtype; `Softmax` is over the last axis.
None but `PReLU`, with an alpha an element of a row, has weights.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from monolith.core.keras_params import with_params
from monolith.native_training.layers import _keras  # noqa: F401  gives Keras' layers their params()

__all__ = [
  "ELU", "Exponential", "Gelu", "HardSigmoid", "LeakyReLU", "Linear", "PReLU", "ReLU", "Selu", "Sigmoid", "Sigmoid2",
  "Softmax", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedReLU",
]  # fmt: skip

ReLU = tf.keras.layers.ReLU
LeakyReLU = tf.keras.layers.LeakyReLU
ELU = tf.keras.layers.ELU
PReLU = tf.keras.layers.PReLU
ThresholdedReLU = tf.keras.layers.ThresholdedReLU
Softmax = tf.keras.layers.Softmax


class _Elementwise(tf.keras.layers.Layer):
  """A layer without weights or settings that keeps its input's shape."""

  def __init__(self, **kwargs: Any):
    super().__init__(**kwargs)
    self.supports_masking = True

  def compute_output_shape(self, input_shape: Any) -> Any:
    return input_shape


@with_params
class Exponential(_Elementwise):
  """e^x; it grows without bound, so it is for what is known to be small.

  >>> Exponential()(tf.constant([0.0])).numpy().tolist()
  [1.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.exp(inputs)


@with_params
class Gelu(_Elementwise):
  """x times the standard normal distribution function of x, exactly (https://arxiv.org/abs/1606.08415, section 2).

  >>> Gelu()(tf.constant([0.0, 8.0])).numpy().tolist()
  [0.0, 8.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(inputs, approximate=False)


@with_params
class HardSigmoid(_Elementwise):
  """0.2x + 0.5, clipped to [0, 1].

  >>> HardSigmoid()(tf.constant([-4.0, 0.0, 4.0])).numpy().tolist()
  [0.0, 0.5, 1.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(0.2 * inputs + 0.5, 0.0, 1.0)


@with_params
class Linear(_Elementwise):
  """x.

  >>> Linear()(tf.constant([-4.0, 4.0])).numpy().tolist()
  [-4.0, 4.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.identity(inputs)


@with_params
class Selu(_Elementwise):
  """Scaled exponential linear unit (https://arxiv.org/abs/1706.02515, equation 2).

  >>> Selu()(tf.constant([0.0])).numpy().tolist()
  [0.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.selu(inputs)


@with_params
class Sigmoid(_Elementwise):
  """1 / (1 + e^-x).

  >>> Sigmoid()(tf.constant([0.0])).numpy().tolist()
  [0.5]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.sigmoid(inputs)


@with_params
class Sigmoid2(_Elementwise):
  """2 / (1 + e^-x): a gate that is 1 at 0.

  >>> Sigmoid2()(tf.constant([0.0])).numpy().tolist()
  [1.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return 2.0 * tf.sigmoid(inputs)


@with_params
class Softplus(_Elementwise):
  """log(1 + e^x).

  >>> Softplus()(tf.constant([-200.0, 200.0])).numpy().tolist()
  [0.0, 200.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.softplus(inputs)


@with_params
class Softsign(_Elementwise):
  """x / (1 + |x|).

  >>> Softsign()(tf.constant([-1.0, 3.0])).numpy().tolist()
  [-0.5, 0.75]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.nn.softsign(inputs)


@with_params
class Swish(_Elementwise):
  """x times its sigmoid (https://arxiv.org/abs/1710.05941).

  >>> Swish()(tf.constant([0.0, 32.0])).numpy().tolist()
  [0.0, 32.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return inputs * tf.sigmoid(inputs)


@with_params
class Tanh(_Elementwise):
  """tanh(x).

  >>> Tanh()(tf.constant([-32.0, 0.0])).numpy().tolist()
  [-1.0, 0.0]
  """

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.tanh(inputs)


_REGISTRY: dict[str, type] = {
  "relu": ReLU,
  "leakyrelu": LeakyReLU,
  "elu": ELU,
  "prelu": PReLU,
  "thresholdedrelu": ThresholdedReLU,
  "softmax": Softmax,
  "exponential": Exponential,
  "gelu": Gelu,
  "hard_sigmoid": HardSigmoid,
  "hardsigmoid": HardSigmoid,
  "linear": Linear,
  "selu": Selu,
  "sigmoid": Sigmoid,
  "sigmoid2": Sigmoid2,
  "softplus": Softplus,
  "softsign": Softsign,
  "swish": Swish,
  "tanh": Tanh,
}

ALL_ACTIVATION_NAMES = frozenset(_REGISTRY)

# Class -> the constructor arguments that its text holds.
_SETTINGS: dict[str, tuple[str, ...]] = {
  "ReLU": ("max_value", "negative_slope", "threshold"),
  "LeakyReLU": ("alpha",),
  "ELU": ("alpha",),
  "ThresholdedReLU": ("theta",),
  "Softmax": ("axis",),
  "PReLU": ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"),
}


def _is_layer_class(identifier: Any) -> bool:
  return isinstance(identifier, type) and issubclass(identifier, tf.keras.layers.Layer)


def _refuse(identifier: Any) -> TypeError:
  return TypeError(
    f"Could not interpret activation function identifier: {identifier!r}; give one of {', '.join(sorted(_REGISTRY))}, "
    "a layer, a function, or what serialize() returned."
  )


def get(identifier: Any) -> Any:
  """Returns the activation that `identifier` means.

  Args:
    identifier: None; a registered name in any case; a dict or string as `serialize` makes them; a layer class or layer
      with `params()`; another layer whose lower-cased class name is registered; or a function. A function whose name is
      registered (such as `tf.nn.relu`) becomes that layer, any other comes back as it is.

  Raises:
    TypeError: it is none of these.
  """
  if identifier is None:
    return None
  if isinstance(identifier, str):
    return _get_by_text(identifier)
  if isinstance(identifier, dict):
    return deserialize(identifier)
  if _is_layer_class(identifier) and hasattr(identifier, "params"):
    return identifier()
  if isinstance(identifier, tf.keras.layers.Layer):
    if hasattr(type(identifier), "params"):
      return identifier
    cls = _REGISTRY.get(type(identifier).__name__.lower())
    if cls is not None:
      return cls()
  elif callable(identifier) and not isinstance(identifier, type):
    cls = _REGISTRY.get(getattr(identifier, "__name__", "").lower())
    return cls() if cls is not None else identifier
  raise _refuse(identifier)


def _get_by_text(text: str) -> Any:
  if text.lower() in _REGISTRY:
    return _REGISTRY[text.lower()]()
  try:
    value = ast.literal_eval(text)
  except (ValueError, SyntaxError):
    raise _refuse(text) from None
  if isinstance(value, dict):
    return deserialize(value)
  raise _refuse(text)


def get_layer(identifier: Any) -> tf.keras.layers.Layer | None:
  """Returns what `get` does, with a bare function wrapped in Keras' `Activation` layer."""
  activation = get(identifier)
  if activation is None or isinstance(activation, tf.keras.layers.Layer):
    return activation
  return tf.keras.layers.Activation(activation)


def clone(layer: tf.keras.layers.Layer, name: str | None = None, dtype: Any = None) -> tf.keras.layers.Layer:
  """Returns a new layer with the same settings and weights of its own.

  Args:
    layer: an activation.
    name: its name; default the original's.
    dtype: its dtype or policy; default the original's.
  """
  if isinstance(layer, tf.keras.layers.Activation):
    # A config would hold the function by name, and only registered names can be read back.
    return tf.keras.layers.Activation(layer.activation, name=name or layer.name, dtype=dtype or layer.dtype)
  config = layer.get_config()
  config["name"] = name or layer.name
  if dtype is not None:
    config["dtype"] = dtype
  return type(layer).from_config(config)


def _plain(value: Any) -> Any:
  """Turns what Keras keeps of a setting into a literal: NumPy scalars into the shortest number that means the same."""
  if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0:
    return float(str(value)) if np.issubdtype(value.dtype, np.floating) else value.item()
  # Keras wraps the lists that it keeps.
  return list(value) if isinstance(value, list) else value


_SERIALIZERS: dict[str, Callable[[Any], Any]] = {
  "alpha_initializer": tf.keras.initializers.serialize,
  "alpha_regularizer": tf.keras.regularizers.serialize,
  "alpha_constraint": tf.keras.constraints.serialize,
}


def serialize(activation: Any) -> str | None:
  """Returns a layer as the text of a dict of its class name (`name`) and settings; None for None and unknown objects.

  A wrapped function is kept by its name, which is enough for Keras' own and for registered ones.
  """
  if isinstance(activation, tf.keras.layers.Activation):
    return repr({"name": "Activation", "activation": tf.keras.activations.serialize(activation.activation)})
  name = type(activation).__name__
  if _REGISTRY.get(name.lower()) is not type(activation):
    return None
  config: dict[str, Any] = {"name": name}
  for key in _SETTINGS.get(name, ()):
    value = getattr(activation, key)
    serializer = _SERIALIZERS.get(key)
    config[key] = _plain(value) if serializer is None or value is None else serializer(value)
  return repr(config)


def deserialize(identifier: str | dict[str, Any] | None) -> Any:
  """Returns the layer that `serialize` wrote, given as its text or as the dict itself.

  Raises:
    TypeError: it names no registered activation, or a setting that the activation does not have.
  """
  if identifier is None:
    return None
  if isinstance(identifier, str):
    return _get_by_text(identifier)
  settings = dict(identifier)
  name = str(settings.pop("name", ""))
  if name == "Activation":
    return tf.keras.layers.Activation(tf.keras.activations.deserialize(settings["activation"]))
  cls = _REGISTRY.get(name.lower())
  if cls is None or not set(settings) <= set(_SETTINGS.get(cls.__name__, ())):
    raise _refuse(identifier)
  return cls(**settings)
