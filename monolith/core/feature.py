# SPDX-License-Identifier: Apache-2.0
"""Slots, slices and columns of models whose embeddings are tables of a fixed vocabulary (see `model.Model`).

A model's `logits_fn` runs twice. The first time the `Env` records which slots it reads with which widths, and answers
with zeros; then the env is finalized, and the second time it answers with embeddings that somebody looked up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class FtrlParameters:
  """FTRL. `learning_rate_power` is minus the exponent of the squared gradients' sum."""

  learning_rate: float = 0.01
  learning_rate_power: float = -0.5
  initial_accumulator_value: float = 0.1
  l1_regularization_strength: float = 0.0
  l2_regularization_strength: float = 0.0


@dataclasses.dataclass(frozen=True)
class AdagradParameters:
  """Adagrad."""

  learning_rate: float = 0.01
  initial_accumulator: float = 0.1


@dataclasses.dataclass(frozen=True)
class AdamParameters:
  """Adam."""

  learning_rate: float = 0.001
  beta1: float = 0.9
  beta2: float = 0.999
  epsilon: float = 1e-8


@dataclasses.dataclass(frozen=True)
class StochasticGradientDescentParameters:
  """Gradient descent."""

  learning_rate: float = 0.01


class Env:
  """What a model's slots are registered in, and where their embeddings come from.

  >>> env = Env({7: 1000})
  >>> column = FeatureColumnV1(FeatureSlot(env, 7, has_bias=True), "user")
  >>> column.add_vector(4).shape.as_list()
  [1, 4]
  >>> env.finalize()
  >>> env.slot_to_dims
  {7: [1, 4]}

  Args:
    vocab_size_dict: slot -> number of ids.
    params: a mapping; with a true `merge_vector` all vector slices of a slot are one table, which is split again after
      the lookup.
  """

  def __init__(self, vocab_size_dict: Mapping[int, int], params: Any = None):
    self.vocab_size_dict = dict(vocab_size_dict)
    self._merge_vector = bool(read_param(params, "merge_vector", False))
    self._slots: dict[int, FeatureSlot] = {}
    self._finalized = False
    self._features: Mapping[str, tf.Tensor] | None = None

  @property
  def slot_to_config(self) -> dict[int, FeatureSlot]:
    """Slot -> its settings."""
    return dict(self._slots)

  @property
  def slot_to_dims(self) -> dict[int, list[int]]:
    """Slot -> the widths of its tables, the bias first."""
    return {slot: self._table_dims(feature_slot) for slot, feature_slot in self._slots.items()}

  def _table_dims(self, slot: FeatureSlot) -> list[int]:
    dims = [s.dim for s in slot.feature_slices]
    if not self._merge_vector or len(slot.vector_slices) < 2:
      return dims
    return [*dims[: slot.use_bias()], sum(s.dim for s in slot.vector_slices)]

  def is_finalized(self) -> bool:
    """Whether all slots and slices are known."""
    return self._finalized

  def finalize(self) -> None:
    """Ends the recording.

    Raises:
      ValueError: a slot has no slice, or slices that are to be merged have different optimizers or initializers.
    """
    for slot in self._slots.values():
      if not slot.feature_slices:
        raise ValueError(f"slot {slot.slot_id} has no slice; add a vector, or leave the slot out.")
      kinds = {(repr(s.optimizer), repr(s.initializer)) for s in slot.vector_slices}
      if self._merge_vector and len(kinds) > 1:
        raise ValueError(f"slot {slot.slot_id}: slices with different optimizers or initializers cannot be merged.")
    self._finalized = True

  def set_features(self, features: Mapping[str, tf.Tensor]) -> None:
    """Gives the embeddings that lookups return from now on: `slot_<slot>_<table>` -> float `[B, dim]`.

    Raises:
      ValueError: the env is not finalized.
    """
    if not self._finalized:
      raise ValueError("Env: embeddings come before the slots are known; call finalize() first.")
    self._features = features

  def register(self, slot: FeatureSlot) -> FeatureSlot:
    """Takes a slot in; once the env is finalized, returns the one that is registered.

    Raises:
      ValueError: the slot is registered already.
      KeyError: it has no vocabulary, or is new to a finalized env.
    """
    slot_id = slot.slot_id
    if self._finalized:
      if slot_id not in self._slots:
        raise KeyError(f"slot {slot_id} was not there when the env was finalized; logits_fn must not change.")
      return self._slots[slot_id]
    if slot_id in self._slots:
      raise ValueError(f"slot {slot_id} is registered already; make one FeatureSlot and share it.")
    if slot_id not in self.vocab_size_dict:
      known = ", ".join(map(str, sorted(self.vocab_size_dict)))
      raise KeyError(f"slot {slot_id} has no vocabulary size; those that have: {known}.")
    self._slots[slot_id] = slot
    return slot

  def lookup(self, feature_slice: FeatureSlice) -> tf.Tensor:
    """The embeddings of a slice, float `[B, dim]`; before `set_features` one row of zeros.

    Raises:
      KeyError: no embeddings were given for the slot.
    """
    if self._features is None:
      return tf.zeros([1, feature_slice.dim])
    slot, index = feature_slice.feature_slot, feature_slice.slice_index
    if not self._merge_vector or index < slot.use_bias() or len(slot.vector_slices) < 2:
      return self._feature(slot.slot_id, index)
    merged = self._feature(slot.slot_id, int(slot.use_bias()))
    return tf.split(merged, [s.dim for s in slot.vector_slices], axis=1)[index - slot.use_bias()]

  def _feature(self, slot_id: int, table: int) -> tf.Tensor:
    key = f"slot_{slot_id}_{table}"
    if self._features is None or key not in self._features:
      raise KeyError(f"{key} is not among the embeddings that set_features was given.")
    return self._features[key]


class FeatureSlice:
  """A part of a slot's embedding with an initializer and an optimizer of its own."""

  def __init__(self, feature_slot: FeatureSlot, dim: int, slice_index: int, optimizer: Any, initializer: Any):
    self.feature_slot = feature_slot
    self.dim = dim
    self.slice_index = slice_index
    self.optimizer = optimizer
    self.initializer = initializer


class FeatureSlot:
  """A slot and its slices; the bias, if there is one, is slice 0.

  Args:
    env: where it is registered.
    slot_id: its number.
    has_bias: give it a slice of width 1.
    bias_initializer: of that slice; None is zeros.
    bias_optimizer: of that slice; None is `FtrlParameters()`.
    default_vec_initializer: of other slices; None is uniform in ±0.05.
    default_vec_optimizer: of other slices; None is `AdagradParameters()`.

  Raises:
    ValueError, KeyError: see `Env.register`.
  """

  def __init__(
    self,
    env: Env,
    slot_id: int,
    has_bias: bool = False,
    bias_initializer: Any = None,
    bias_optimizer: Any = None,
    default_vec_initializer: Any = None,
    default_vec_optimizer: Any = None,
  ):
    self.env = env
    self.slot_id = int(slot_id)
    self._has_bias = has_bias
    self.bias_initializer = bias_initializer or tf.keras.initializers.Zeros()
    self.bias_optimizer = bias_optimizer or FtrlParameters()
    self.vec_initializer = default_vec_initializer or tf.keras.initializers.RandomUniform(-0.05, 0.05)
    self.vec_optimizer = default_vec_optimizer or AdagradParameters()
    self.feature_slices: list[FeatureSlice] = []
    # In the second run of logits_fn slices are handed out again, in their order, instead of being added.
    self._known = env.register(self)
    if has_bias:
      self._add(1, self.bias_optimizer, self.bias_initializer)

  def use_bias(self) -> bool:
    """Whether slice 0 is a bias."""
    return self._has_bias

  @property
  def vector_slices(self) -> list[FeatureSlice]:
    """All slices but the bias."""
    return self.feature_slices[int(self._has_bias) :]

  def add_feature_slice(self, dim: int, initializer: Any = None, optimizer: Any = None) -> FeatureSlice:
    """Adds a slice of width `dim`; None is the slot's default.

    Raises:
      ValueError: the env is finalized, and the slices so far are not those of the first time; or `dim` is not positive.
    """
    if dim <= 0:
      raise ValueError(f"slot {self.slot_id}: dim is {dim}; it must be > 0.")
    return self._add(dim, optimizer or self.vec_optimizer, initializer or self.vec_initializer)

  def _add(self, dim: int, optimizer: Any, initializer: Any) -> FeatureSlice:
    index = len(self.feature_slices)
    if self._known is not self:
      known = [s.dim for s in self._known.feature_slices]
      if known[index : index + 1] != [dim]:
        raise ValueError(
          f"slot {self.slot_id}: slice {index} has dim {dim}, but the first time the slot's dims were {known}; "
          "logits_fn must not change."
        )
      self.feature_slices.append(self._known.feature_slices[index])
    elif self.env.is_finalized():
      raise ValueError(f"slot {self.slot_id}: the env is finalized; add slices before.")
    else:
      self.feature_slices.append(FeatureSlice(self, dim, index, optimizer, initializer))
    return self.feature_slices[-1]


class FeatureColumnV1:
  """A feature that reads a slot.

  Args:
    feature_slot: the slot.
    fc_name: name of the feature.
  """

  def __init__(self, feature_slot: FeatureSlot, fc_name: str):
    self.feature_slot = feature_slot
    self.fc_name = fc_name

  def embedding_lookup(self, feature_slice: FeatureSlice) -> tf.Tensor:
    """The embeddings of a slice, float `[B, dim]`.

    Raises:
      ValueError: the slice belongs to another slot.
    """
    if feature_slice.feature_slot.slot_id != self.feature_slot.slot_id:
      raise ValueError(
        f"column {self.fc_name!r} reads slot {self.feature_slot.slot_id}, but the slice belongs to slot "
        f"{feature_slice.feature_slot.slot_id}."
      )
    return self.feature_slot.env.lookup(feature_slice)

  def add_vector(self, dim: int) -> tf.Tensor:
    """Adds a slice to the slot and returns its embeddings, float `[B, dim]`."""
    return self.embedding_lookup(self.feature_slot.add_feature_slice(dim))

  def get_bias(self) -> tf.Tensor:
    """The embeddings of the bias, float `[B, 1]`.

    Raises:
      ValueError: the slot has none.
    """
    if not self.feature_slot.use_bias():
      raise ValueError(f"slot {self.feature_slot.slot_id} has no bias; make it with has_bias=True.")
    return self.embedding_lookup(self.feature_slot.feature_slices[0])


def read_param(params: Any, key: str, default: Any) -> Any:
  """Reads a mapping or Params that may be None or lack the key."""
  try:
    return default if params is None else params[key]
  except (KeyError, AttributeError):
    return default
