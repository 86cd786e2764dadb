# SPDX-License-Identifier: Apache-2.0
"""The factory of a graph whose embeddings come as layouts."""

from __future__ import annotations

from typing import Any, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import tensorflow as tf

from monolith.native_training._feature_slots import (
  FeatureColumn,
  FeatureEmbTable,
  FeatureFactory,
  FeatureSlot,
  FeatureSlotConfig,
  Gradient,
)
from monolith.native_training.prefetch_queue import AsyncFunctionMgr

__all__ = ["EmbeddingLayoutFactory"]


class _NoTable(FeatureEmbTable):
  """Single slices are not looked up where embeddings come in layouts."""

  def embedding_lookup(self, feature_name: str, start: Optional[int], end: Optional[int]) -> Any:
    return None


class EmbeddingLayoutFactory(FeatureFactory):
  """Answers `get_layout` from layouts that were looked up before, and trains them.

  Args:
    hash_table: a `PartitionedHashTable`.
    layout_embeddings: {layout: its tensor, or a list of its slices' tensors}.
    auxiliary_bundle: what the lookup left for the way back: `embeddings`, `sharded`, and perhaps `req_time`.
    async_function_mgr: runs the update.
    async_push: run it one step later.
  """

  def __init__(
    self,
    hash_table: Any,
    layout_embeddings: Mapping[str, Union[tf.Tensor, List[tf.Tensor]]],
    auxiliary_bundle: Optional[Mapping[str, Any]] = None,
    async_function_mgr: Optional[AsyncFunctionMgr] = None,
    async_push: bool = False,
  ):
    super().__init__()
    self._hash_table = hash_table
    self._layouts = dict(layout_embeddings)
    self._bundle = dict(auxiliary_bundle or {})
    self._async_function_mgr = async_function_mgr
    self._async_push = async_push

  def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
    """A slot whose lookups give None."""
    return FeatureSlot(_NoTable(), config)

  def get_layout(self, name: str) -> Union[tf.Tensor, List[tf.Tensor]]:
    """A layout's tensor, or its slices' tensors.

    Raises:
      KeyError: the first pass over the model met no such layout.
    """
    if name not in self._layouts:
      raise KeyError(
        f"the first pass over the model met no layout {name!r}; it met {sorted(self._layouts)}. model_fn must look up "
        "the same slices each time it is called."
      )
    return self._layouts[name]

  def flattened_layout(self) -> List[tf.Tensor]:
    """All tensors, by the names of the layouts: what a loss is differentiated by."""
    return self._hash_table.flatten_layout(self._layouts)

  def gradient_targets(self, columns: Sequence[FeatureColumn], per_fid: bool = False) -> List[tf.Tensor]:
    if per_fid:
      raise ValueError(
        "gradients of single fids are not there where embeddings come in layouts; set another clip type."
      )
    return self.flattened_layout()

  def gradient_norm(self, grads_and_vars: Sequence[Tuple[Gradient, tf.Tensor]]) -> tf.Tensor:
    if "sharded" not in self._bundle:
      return super().gradient_norm(grads_and_vars)
    grads = self._filled(self._in_order(grads_and_vars))
    return self._hash_table.layout_gradient_norm(grads, self._bundle["sharded"])

  def apply_gradients(
    self,
    grads_and_vars: Iterable[Tuple[Optional[tf.Tensor], tf.Tensor]],
    req_time: Optional[tf.Tensor] = None,
    scale: Union[int, float, tf.Tensor] = 1,
    grad_scale: Union[None, float, tf.Tensor] = None,
  ) -> tf.Operation:
    """Updates the tables by gradients with respect to `flattened_layout`; of tensors without one it is 0.

    The fids of a feature none of whose tensors has a gradient are not updated.

    Raises:
      ValueError: a gradient is with respect to something else, or the lookup left nothing for the way back.
    """
    if "embeddings" not in self._bundle or "sharded" not in self._bundle:
      raise ValueError(
        "EmbeddingLayoutFactory: auxiliary_bundle lacks embeddings and sharded; pass those of the lookup."
      )
    grads = self._in_order(grads_and_vars)
    given = [number for number, grad in enumerate(grads) if grad is not None]
    if not isinstance(scale, (int, float)) or scale != 1:
      grad_scale = scale if grad_scale is None else grad_scale * scale
    return self._hash_table.apply_layout_gradients(
      self._filled(grads),
      self._bundle["embeddings"],
      self._bundle["sharded"],
      tf.compat.v1.train.get_or_create_global_step(),
      req_time=self._bundle.get("req_time") if req_time is None else req_time,
      async_function_mgr=self._async_function_mgr,
      async_push=self._async_push,
      grad_scale=grad_scale,
      features=self._hash_table.features_of_tensors(given),
    )

  def _in_order(self, grads_and_vars: Iterable[Tuple[Any, tf.Tensor]]) -> List[Optional[tf.Tensor]]:
    """Of every tensor of `flattened_layout` its gradient, or None."""
    tensors = self.flattened_layout()
    numbers = {tensor.ref(): number for number, tensor in enumerate(tensors)}
    grads: List[Optional[tf.Tensor]] = [None] * len(tensors)
    for grad, v in grads_and_vars:
      if v.ref() not in numbers:
        raise ValueError(f"EmbeddingLayoutFactory: a gradient is with respect to {v.name}, which is no layout.")
      grads[numbers[v.ref()]] = None if grad is None else tf.convert_to_tensor(grad)
    return grads

  def _filled(self, grads: Sequence[Optional[tf.Tensor]]) -> List[tf.Tensor]:
    return [tf.zeros_like(t) if g is None else g for g, t in zip(grads, self.flattened_layout(), strict=True)]
