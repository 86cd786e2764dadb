# SPDX-License-Identifier: Apache-2.0
"""What optimizers share whose state decays at every step: a sparse gradient is a dense one with zeros."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class DenseOnlyOptimizer(tf.compat.v1.train.Optimizer):
  """Base of optimizers of float32 resource variables that have `_resource_apply_dense` alone.

  A sparse gradient, as `tf.gather` gives to a variable, is filled up with zeros: rows that a batch has not read move
  on by their momentum, as with TensorFlow's own Adam. For tables too large for that there are the hash tables.
  """

  _slot_names: tuple[str, ...] = ()  # zeros like the variable, in the order that the op takes them

  def __init__(self, learning_rate: Any, use_locking: bool, name: str):
    super().__init__(use_locking, name)
    self._learning_rate = learning_rate
    self._learning_rate_tensor: tf.Tensor | None = None

  def _create_slots(self, var_list: Any) -> None:
    for var in var_list:
      for slot in self._slot_names:
        self._zeros(var, slot)

  def _prepare(self) -> None:
    self._learning_rate_tensor = self._scalar(self._learning_rate, "learning_rate")

  def _slot_handles(self, var: Any) -> list[tf.Tensor]:
    return [self.get_slot(var, slot).handle for slot in self._slot_names]

  def _valid_dtypes(self) -> set[tf.DType]:
    return {tf.float32}

  def _resource_apply_sparse(self, grad: tf.Tensor, handle: Any, indices: tf.Tensor) -> Any:
    shape = tf.shape(handle, out_type=indices.dtype)
    return self._resource_apply_dense(tf.scatter_nd(indices[:, tf.newaxis], grad, shape), handle)

  def _apply_dense(self, grad: tf.Tensor, var: Any) -> Any:
    raise NotImplementedError(
      f"{type(self).__name__}: {var.name} is a reference variable; create it with use_resource=True."
    )

  def _apply_sparse(self, grad: Any, var: Any) -> Any:
    return self._apply_dense(grad, var)

  def _create_or_restore_slot_variable(self, slot_variable_position: Any, slot_name: str, variable: Any) -> Any:
    # TensorFlow would make the slot from the checkpoint, but in the variable's shape and under another name.
    if tf.executing_eagerly():
      self._create_slots([variable])
    return super()._create_or_restore_slot_variable(slot_variable_position, slot_name, variable)

  def _scalar(self, value: Any, name: str) -> tf.Tensor:
    """Returns a setting, a number, tensor or function without arguments, as a float32 scalar."""
    value = value() if callable(value) else value
    return tf.cast(tf.convert_to_tensor(value, name=name), tf.float32)

  def _zeros(self, var: Any, slot: str) -> None:
    """Makes the slot `<variable>/<optimizer>/<slot>`, like the variable.

    Raises:
      ValueError: the variable is not float32.
    """
    if var.dtype.base_dtype != tf.float32:
      raise ValueError(
        f"{type(self).__name__}: {var.name} is {var.dtype.base_dtype.name}; it takes float32 variables, which mixed "
        "dtype policies keep too."
      )
    self._zeros_slot(var, slot, f"{self.get_name()}/{slot}")


def require(condition: bool, optimizer: str, argument: str, value: Any, range_: str) -> None:
  """Raises ValueError for a setting that is out of range."""
  if not condition:
    raise ValueError(f"{optimizer}: {argument} is {value}; it must be {range_}.")
