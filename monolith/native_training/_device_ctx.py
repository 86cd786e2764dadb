# SPDX-License-Identifier: Apache-2.0
"""Device scopes around user functions; they matter in synchronous training only."""

from __future__ import annotations

from typing import Any, Callable, Optional, Set

import tensorflow as tf

from monolith.core.errors import CallerError
from monolith.native_training import device_utils, distribution_utils
from monolith.native_training.model_export import export_context

__all__ = ["DeviceCtxType", "MonolithDeviceCtx"]


class DeviceCtxType:
  """Which user function a scope surrounds."""

  INPUT_FN = "input_fn"
  MODEL_FN = "model_fn"
  INPUT_RECEIVER_FN = "input_receiver_fn"
  OTHERS = "others"

  @classmethod
  def all_types(cls) -> Set[str]:
    """All of them."""
    return {cls.INPUT_FN, cls.MODEL_FN, cls.INPUT_RECEIVER_FN, cls.OTHERS}


class MonolithDeviceCtx:
  """Context manager that places the operations of a user function.

  It changes nothing unless synchronous training is on and no export is in progress.

  Args:
    ctx_type: one of `DeviceCtxType`.

  Raises:
    CallerError: ctx_type is unknown.
  """

  def __init__(self, ctx_type: str):
    if ctx_type not in DeviceCtxType.all_types():
      raise CallerError(
        f"MonolithDeviceCtx: ctx_type is {ctx_type!r}; it must be one of {sorted(DeviceCtxType.all_types())}."
      )
    self._ctx_type = ctx_type
    self._current: Any = None
    self._device_fn: Optional[Callable[[tf.Operation], str]] = None

  def __enter__(self) -> MonolithDeviceCtx:
    if distribution_utils.enable_sync_training() and not export_context.is_exporting():
      self._device_fn = {
        DeviceCtxType.INPUT_FN: device_utils.input_device_fn,
        DeviceCtxType.MODEL_FN: device_utils.model_device_fn,
        DeviceCtxType.INPUT_RECEIVER_FN: device_utils.serving_input_device_fn,
      }.get(self._ctx_type)
    if self._device_fn is not None:
      self._current = tf.compat.v1.device(self._device_fn)
      self._current.__enter__()
    return self

  def __exit__(self, *exc_info: Any) -> None:
    if self._current is not None:
      if self._ctx_type == DeviceCtxType.MODEL_FN:
        self.ensure_variables_in_device()
      self._current.__exit__(*exc_info)
    self._current, self._device_fn = None, None

  def ensure_variables_in_device(self) -> None:
    """Places the global step, which was made outside of this scope, by the scope's rule."""
    graph = tf.compat.v1.get_default_graph()
    for op in graph.get_operations():
      if op.name.startswith("global_step"):
        graph._apply_device_functions(op)  # noqa: SLF001 (TensorFlow offers no public way)
