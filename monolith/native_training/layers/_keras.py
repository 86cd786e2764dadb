# SPDX-License-Identifier: Apache-2.0
"""What the layers share on top of Keras: initializers that are not shared, and `params()` for Keras' own layers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith.core import keras_params

# Keras layer name -> class, for every class that got its `params()` from `add_params_to_keras`.
keras_layers: dict[str, type] = {}


def get_initializer(identifier: Any, default: Any) -> Any:
  """Returns an initializer of one's own for what a caller gave.

  An unseeded Keras initializer returns the same values at every call, so two weights that shared one would start equal;
  hence every weight takes its own copy.

  Args:
    identifier: a name, config, class, object or None.
    default: what None means.
  """
  initializer = tf.keras.initializers.get(default if identifier is None else identifier)
  if hasattr(initializer, "get_config"):
    return type(initializer).from_config(initializer.get_config())
  return initializer


def serialize_initializers(initializers: list[Any]) -> list[Any]:
  """Returns configs of initializers that may be None."""
  return [None if i is None else tf.keras.initializers.serialize(i) for i in initializers]


class BatchNormalization(tf.keras.layers.BatchNormalization):
  """Keras' layer, for which a batch without rows changes no moving statistic instead of turning all into NaN."""

  def _support_zero_size_input(self) -> bool:
    # Keras has the guard, but uses it under distribution strategies only.
    return True


def add_params_to_keras() -> None:
  """Gives `params()` to every layer class of `tf.keras.layers` that has none of its own."""
  for name in dir(tf.keras.layers):
    cls = getattr(tf.keras.layers, name)
    if not (isinstance(cls, type) and issubclass(cls, tf.keras.layers.Layer)) or cls is tf.keras.layers.Layer:
      continue
    # A base class may have been patched before; its `params` would be found by inheritance.
    if "params" not in vars(cls):
      keras_params.with_params(cls)
      keras_layers[name] = cls
    elif cls in keras_layers.values():
      keras_layers.setdefault(name, cls)


add_params_to_keras()
