# SPDX-License-Identifier: Apache-2.0
"""Checks that hold for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def _random_input(shape: Sequence[int | None], dtype: str) -> np.ndarray:
  """Returns numbers around 0, with a size from 1 to 3 where the shape has none."""
  generator = np.random.default_rng(0)
  sizes = [int(generator.integers(1, 4)) if size is None else size for size in shape]
  return (10 * generator.random(sizes) - 5).astype(dtype)


def _require(condition: bool, layer_cls: type, message: str) -> None:
  if not condition:
    raise AssertionError(f"{layer_cls.__name__}: {message}")


def layer_test(
  layer_cls: type,
  kwargs: dict[str, Any] | None = None,
  input_shape: Sequence[int | None] | None = None,
  input_dtype: str = "float32",
  input_data: np.ndarray | None = None,
  expected_output: np.ndarray | None = None,
  expected_output_dtype: str | None = None,
) -> np.ndarray:
  """Puts a layer through what Keras expects of one, eagerly.

  Weights are read and written back, the config goes round, a functional model is made, its output must have the
  inferred shape and dtype, and the rebuilt model with the same weights must predict the same.

  Args:
    layer_cls: the class.
    kwargs: its constructor arguments.
    input_shape: shape of a random input, the batch first; None where any size may be.
    input_dtype: its dtype.
    input_data: the input itself, instead.
    expected_output: what the layer must return, to six digits.
    expected_output_dtype: its dtype; default the input's.

  Returns:
    The layer's output.

  Raises:
    ValueError: neither `input_shape` nor `input_data` is given.
    AssertionError: the layer fails a check.
  """
  if input_data is None and input_shape is None:
    raise ValueError("layer_test: give input_shape or input_data.")
  data = _random_input(input_shape or (), input_dtype) if input_data is None else np.asarray(input_data)
  shape = data.shape if input_shape is None else tuple(input_shape)

  def functional(layer: Any) -> Any:
    inputs = tf.keras.Input(shape[1:], dtype=str(data.dtype))
    outputs = layer(inputs)
    dtype = expected_output_dtype or str(data.dtype)
    _require(outputs.dtype.name == dtype, layer_cls, f"output is {outputs.dtype.name}, expected {dtype}.")
    inferred = tf.TensorShape(layer.compute_output_shape(tf.TensorShape((None, *shape[1:]))))
    _require(inferred.is_compatible_with(outputs.shape), layer_cls, f"infers {inferred}, but returns {outputs.shape}.")
    return tf.keras.Model(inputs, outputs), inferred

  layer = layer_cls(**(kwargs or {}))
  model, inferred = functional(layer)
  layer.set_weights(layer.get_weights())
  output = model.predict(data, verbose=0)
  _require(inferred.is_compatible_with(output.shape), layer_cls, f"infers {inferred}, but predicts {output.shape}.")
  if expected_output is not None:
    np.testing.assert_allclose(output, expected_output, rtol=1e-6, atol=1e-6)
  again = layer_cls.from_config(layer.get_config())  # type: ignore[attr-defined]
  _require(again.get_config() == layer.get_config(), layer_cls, "another config comes back from its config.")
  copy, _ = functional(again)
  again.set_weights(layer.get_weights())
  np.testing.assert_allclose(copy.predict(data, verbose=0), output, rtol=1e-6, atol=1e-6)
  return output
