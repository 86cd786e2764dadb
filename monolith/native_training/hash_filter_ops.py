# SPDX-License-Identifier: Apache-2.0
"""Occurrence filters: which absent fids a table admits.

A filter is a shared resource. A table asks it before a write gives an absent fid an entry; fids that have one are not
counted any more. Its counts are saved and restored with the checkpoints, in files of their own.
"""

from __future__ import annotations

import os
from typing import Any, Callable, NoReturn, Optional, Sequence

from monolith.native_training import _checkpoint_files
from monolith.native_training import basic_restore_hook
from monolith.native_training import utils
from monolith.native_training.model_export import export_context
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf
from absl import logging

HASH_FILTER_CAPACITY = 300000000
HASH_FILTER_SPLIT_NUM = 7

_TIMEOUT_IN_MS = 1800000


class FilterType:
  """Names of the filters."""

  SLIDING_HASH_FILTER = "sliding_hash_filter"
  PROBABILISTIC_FILTER = "probabilistic_filter"
  NO_FILTER = "no_filter"


_FILTER_TYPES = (FilterType.SLIDING_HASH_FILTER, FilterType.PROBABILISTIC_FILTER, FilterType.NO_FILTER)


def create_hash_filter(capacity: int, split_num: int, config: bytes = b"", name_suffix: str = "") -> tf.Tensor:
  """Makes a filter that counts fids up to 15: with threshold n the first n sightings of an absent fid are dropped.

  Args:
    capacity: fids it remembers, about; at least 300. Up to 2.8 bytes a fid, taken as they are used.
    split_num: parts of its memory, at least 5; the oldest part is forgotten when the newest is full.
    config: a serialized SlotOccurrenceThresholdConfig, thresholds up to 15; 0 admits without counting.
    name_suffix: shared under `MonolithHashFilter` + suffix.

  Returns:
    Its handle, a resource scalar; tf.errors.InvalidArgumentError when the op runs with a threshold above 15.
  """
  return gen_monolith_ops.monolith_hash_filter(
    capacity=capacity, split_num=split_num, config=config, shared_name="MonolithHashFilter" + name_suffix
  )


def create_probabilistic_filter(equal_probability: bool, config: bytes = b"", name_suffix: str = "") -> tf.Tensor:
  """Makes a filter that admits absent fids by chance and keeps nothing.

  Args:
    equal_probability: False admits c sightings with probability min(1, c / threshold); True with 1 - 0.05^(c /
      threshold), so that a fid has been admitted with probability 0.95 when it was seen as often as the threshold says.
    config: a serialized SlotOccurrenceThresholdConfig; threshold 0 admits always.
    name_suffix: shared under `MonolithProbabilisticFilter` + suffix.

  Returns:
    Its handle, a resource scalar.
  """
  return gen_monolith_ops.monolith_probabilistic_filter(
    equal_probability=equal_probability, config=config, shared_name="MonolithProbabilisticFilter" + name_suffix
  )


def create_dummy_hash_filter(name_suffix: str = "0") -> tf.Tensor:
  """Returns the handle of a filter that admits every fid, shared under `DummyHashFilter` + suffix."""
  return gen_monolith_ops.monolith_dummy_hash_filter(shared_name="DummyHashFilter" + name_suffix)


def create_hash_filters(
  ps_num: int,
  enable_hash_filter: bool,
  config: bytes = b"",
  filter_capacity: int = HASH_FILTER_CAPACITY,
  filter_split_num: int = HASH_FILTER_SPLIT_NUM,
  filter_equal_probability: bool = False,
  filter_type: str = FilterType.SLIDING_HASH_FILTER,
) -> list[tf.Tensor]:
  """Makes the filters of a job: one for a local table, else one on every parameter server.

  Args:
    ps_num: number of parameter servers; 0 for a local table.
    enable_hash_filter: whether any slot has an occurrence threshold; without one, everything is admitted.
    config: a serialized SlotOccurrenceThresholdConfig.
    filter_capacity: fids that each filter has room for.
    filter_split_num: parts of a sliding filter.
    filter_equal_probability: the mode of the probabilistic filter.
    filter_type: one of `FilterType`.

  Raises:
    ValueError: the type is unknown.
  """
  makers: dict[str, Callable[[str], tf.Tensor]] = {
    FilterType.SLIDING_HASH_FILTER: lambda suffix: create_hash_filter(
      filter_capacity, filter_split_num, config, suffix
    ),
    FilterType.PROBABILISTIC_FILTER: lambda suffix: create_probabilistic_filter(
      filter_equal_probability, config, suffix
    ),
    FilterType.NO_FILTER: create_dummy_hash_filter,
  }
  if filter_type not in makers:
    raise ValueError(f"filter_type is {filter_type!r}; use one of {', '.join(_FILTER_TYPES)}.")
  make = makers[filter_type if enable_hash_filter else FilterType.NO_FILTER]
  if ps_num == 0:
    return [make("0" if make is create_dummy_hash_filter else "")]
  filters = []
  for i in range(ps_num):
    # An exported model runs where there are no servers of that name.
    device = None if export_context.is_exporting() else utils.ps_device(i)
    with tf.compat.v1.device(device):
      filters.append(make(f"_{i}"))
  return filters


def save_hash_filter(
  hash_filter: tf.Tensor, hash_filter_basename: tf.Tensor, enable_hash_filter: bool = False
) -> tf.Tensor:
  """Writes a filter's counts to `<basename>-00000-of-0000S`, a file for every split.

  Args:
    hash_filter: its handle; one that keeps no counts writes nothing.
    hash_filter_basename: string scalar.
    enable_hash_filter: False does nothing.

  Returns:
    The handle, once the files are there.
  """
  if not enable_hash_filter:
    return hash_filter
  return gen_monolith_ops.monolith_hash_filter_save(hash_filter, hash_filter_basename)


def restore_hash_filter(
  hash_filter: tf.Tensor, hash_filter_base_name: tf.Tensor, enable_hash_filter: bool = False
) -> tf.Tensor:
  """Replaces a filter's counts by saved ones.

  Args:
    hash_filter: its handle; one that keeps no counts stays as it is.
    hash_filter_base_name: string scalar, as it was given to `save_hash_filter`.
    enable_hash_filter: False does nothing.

  Returns:
    The handle, once it is restored. Running it raises tf.errors.ResourceExhaustedError if the saved filter has another
    number of splits, InvalidArgumentError if files are missing, DataLossError if one is damaged.
  """
  if not enable_hash_filter:
    return hash_filter
  return gen_monolith_ops.monolith_hash_filter_restore(hash_filter, hash_filter_base_name)


def intercept_gradient(filter_tensor: tf.Tensor, ids: tf.Tensor, embeddings: tf.Tensor) -> tf.Tensor:
  """Passes `embeddings` on; when gradients flow back, those of ids that the filter drops become zero.

  Every occurrence of an id is one sighting, counted in the backward pass.

  Args:
    filter_tensor: handle of the filter. Only the sliding filter drops anything here: the others have no table to ask.
    ids: int64 [n].
    embeddings: float32 [n, d].

  Returns:
    float32 [n, d].
  """
  return gen_monolith_ops.monolith_hash_filter_intercept_gradient(filter_tensor, ids, embeddings)


@tf.RegisterGradient("MonolithHashFilterInterceptGradient")
def _intercept_gradient_grad(op: tf.Operation, grad: tf.Tensor) -> tuple[None, None, tf.Tensor]:
  grad = tf.convert_to_tensor(grad)
  kept = gen_monolith_ops.monolith_hash_filter_intercept_gradient_gradient(op.inputs[0], op.inputs[1], grad)
  return None, None, tf.reshape(kept, tf.shape(grad))


@tf.RegisterGradient("MonolithHashFilterInterceptGradientGradient")
def _refuse_second_derivatives(op: tf.Operation, grad: tf.Tensor) -> NoReturn:
  del op, grad
  raise LookupError(
    "MonolithHashFilterInterceptGradientGradient: second derivatives through intercept_gradient are not defined, since "
    "the filter would count the ids again; take the first ones inside tf.stop_gradient."
  )


for _op in (
  "MonolithHashFilter", "MonolithProbabilisticFilter", "MonolithDummyHashFilter", "MonolithHashFilterSave",
  "MonolithHashFilterRestore",
):  # fmt: skip
  tf.no_gradient(_op)


def _run(session: tf.compat.v1.Session, fetches: Any, feed_dict: dict) -> None:
  session.run(fetches, feed_dict=feed_dict, options=tf.compat.v1.RunOptions(timeout_in_ms=_TIMEOUT_IN_MS))


def _file_name(index: int) -> str:
  return f"hash_filter_{index}"


class _FilterFiles:
  """One op for all filters and, fed to it, the files of each.

  Args:
    hash_filters: their handles.
    make_op: of a handle and a path, a string scalar: the filter afterwards.
  """

  def __init__(self, hash_filters: Sequence[tf.Tensor], make_op: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]):
    self._filters = list(hash_filters)
    self._make_op = make_op
    self._paths: list[tf.Tensor] = []
    self._op: Optional[tf.Operation] = None

  def __len__(self) -> int:
    """How many paths the op takes: none before it is built."""
    return len(self._paths)

  def build(self) -> None:
    """Builds the op in the default graph."""
    self._paths, done = [], []
    for hash_filter in self._filters:
      self._paths.append(tf.compat.v1.placeholder(tf.string, []))
      with tf.compat.v1.device(hash_filter.device):
        done.append(self._make_op(hash_filter, self._paths[-1]))
    self._op = tf.group(*done)

  def run(self, session: tf.compat.v1.Session, paths: Sequence[str]) -> None:
    """Runs it with a path a filter."""
    _run(session, self._op, dict(zip(self._paths, paths, strict=True)))


class HashFilterCheckpointSaverListener(tf.compat.v1.train.CheckpointSaverListener):
  """Writes the filters into `<basename>-<step>.assets/` before each checkpoint.

  Args:
    basename: path of the checkpoints without step, such as `<model_dir>/model.ckpt`.
    hash_filters: their handles, one a parameter server.
    enable_hash_filter: whether they count at all.
    enable_save_restore: False saves nothing.
  """

  def __init__(
    self,
    basename: str,
    hash_filters: Sequence[tf.Tensor],
    enable_hash_filter: bool = False,
    enable_save_restore: bool = True,
  ):
    super().__init__()
    self._helper = _checkpoint_files.SaveHelper(basename)
    counting = hash_filters if enable_hash_filter and enable_save_restore else ()
    self._files = _FilterFiles(counting, lambda handle, path: save_hash_filter(handle, path, True))

  def begin(self) -> None:
    self._files.build()

  def before_save(self, sess: tf.compat.v1.Session, global_step_value: int) -> None:
    if not self._files:
      return
    assets = self._helper.get_ckpt_asset_dir(self._helper.get_ckpt_prefix(global_step_value))
    tf.io.gfile.makedirs(assets)
    self._files.run(sess, [os.path.join(assets, _file_name(i)) for i in range(len(self._files))])


class HashFilterCheckpointRestorerListener(basic_restore_hook.CheckpointRestorerListener):
  """Restores the filters from the newest checkpoint beside `basename`; without any, they start empty.

  A filter whose checkpoint was written without it, or with another number of filters, starts empty too: that is logged.

  Args:
    basename: path of the checkpoints without step.
    hash_filters: their handles, one a parameter server.
    enable_hash_filter: whether they count at all.
    enable_save_restore: False restores nothing.
  """

  def __init__(
    self,
    basename: str,
    hash_filters: Sequence[tf.Tensor],
    enable_hash_filter: bool = False,
    enable_save_restore: bool = True,
  ):
    super().__init__()
    self._model_dir = os.path.dirname(basename)
    counting = hash_filters if enable_hash_filter and enable_save_restore else ()
    self._files = _FilterFiles(counting, lambda handle, path: restore_hash_filter(handle, path, True))

  def begin(self) -> None:
    self._files.build()

  def before_restore(self, session: tf.compat.v1.Session) -> None:
    # Read for each session, as the tables' listener does: one made again restores what is newest then.
    with session.graph.as_default():
      prefix = _checkpoint_files.checkpoint_to_restore(self._model_dir)
    if not self._files or prefix is None:
      return
    assets = _checkpoint_files.SaveHelper.get_ckpt_asset_dir(prefix)
    self._restore_from_path_prefix(session, assets if tf.io.gfile.isdir(assets) else prefix)

  def _restore_from_path_prefix(self, sess: tf.compat.v1.Session, path_prefix: str) -> None:
    paths = [path_prefix + _file_name(i) for i in range(len(self._files))]
    saved = [bool(tf.io.gfile.glob(path + "-*-of-*")) for path in paths]
    if not all(saved) or tf.io.gfile.glob(path_prefix + _file_name(len(paths)) + "-*-of-*"):
      # Fids live on servers by their number, so the counts of another number of servers would not fit.
      logging.warning(
        "%s* holds no counts for exactly %d occurrence filters; they start empty.", path_prefix, len(paths)
      )
      return
    self._files.run(sess, paths)
