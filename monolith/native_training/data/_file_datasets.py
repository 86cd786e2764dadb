# SPDX-License-Identifier: Apache-2.0
"""Many files as one dataset, and TFRecords."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops

from monolith.native_training import _flags, native_task_context
from monolith.native_training.data._pb_type import FeaturePruningType, PbType
from monolith.native_training.data._record_dataset import FilePBDataset, record_output_type

__all__ = ["DistributedFilePBDataset", "TFRecordDatasetWrapper"]

_DEFAULT_FILES_AT_ONCE = 4


class TFRecordDatasetWrapper(dataset_ops.UnaryUnchangedStructureDataset):
  """TFRecord files as scalar strings: `tf.data.TFRecordDataset` with the arguments that it has.

  Args:
    file_name: one path or several.
    compression_type: "", "ZLIB" or "GZIP".
    buffer_size: bytes read at once.
    num_parallel_reads: files read at once.
    **kwargs: ignored, so that one call fits all kinds of files.
  """

  def __init__(
    self,
    file_name: Union[str, Sequence[str], tf.Tensor],
    compression_type: Optional[str] = None,
    buffer_size: Optional[int] = None,
    num_parallel_reads: Optional[int] = None,
    **kwargs: Any,
  ):
    del kwargs
    records = tf.data.TFRecordDataset(file_name, compression_type, buffer_size, num_parallel_reads)
    super().__init__(records, records._variant_tensor)


class DistributedFilePBDataset(dataset_ops.UnaryUnchangedStructureDataset):
  """The records of all files that match some patterns; each worker reads its own share of the files.

  Files are dealt out in the order of their names: worker i of n reads files i, i + n, ... Several are read at once.

  Args:
    patterns: glob patterns; "" is stdin.
    buffer_size: as in `FilePBDataset`.
    input_pb_type: as in `FilePBDataset`.
    output_pb_type: as in `FilePBDataset`.
    feature_pruning_type: as in `FilePBDataset`.
    exclude_fn: a predicate on the tensor of a file name; files for which it is true are kept.
    cycle_length: files read at once; default the flag `max_task_num_per_worker`, else 4.
    block_length: elements taken of one file before the next has its turn; default 1.
    num_parallel_calls: threads that open files; default `cycle_length`.
    deterministic: whether the order of elements is fixed; default False.
    use_parquet: not built.
    use_tfrecord: whether the files are TFRecords; elements are strings then.
    **kwargs: `shard_num` and `shard_index` take the place of the number and index of workers; the rest goes to
      `FilePBDataset`.

  Raises:
    NotImplementedError: Parquet, a tf.data service or dynamic sharding is asked for.
    ValueError: no file matches, or shard_index is not in [0, shard_num).
  """

  def __init__(
    self,
    patterns: Union[str, Sequence[str]],
    buffer_size: Optional[int] = None,
    input_pb_type: Optional[PbType] = None,
    output_pb_type: Optional[PbType] = None,
    feature_pruning_type: int = FeaturePruningType.PRUNING_RAW_FEATURE,
    exclude_fn: Optional[Callable[[tf.Tensor], tf.Tensor]] = None,
    cycle_length: Optional[int] = None,
    block_length: Optional[int] = None,
    num_parallel_calls: Optional[int] = None,
    deterministic: Optional[bool] = None,
    use_parquet: bool = False,
    use_tfrecord: bool = False,
    **kwargs: Any,
  ):
    _refuse_unbuilt(use_parquet, kwargs)
    files = _files_of_worker(patterns, kwargs.pop("shard_num", None), kwargs.pop("shard_index", None))
    if exclude_fn is not None:
      files = files.filter(exclude_fn)

    def read(file_name: tf.Tensor) -> tf.data.Dataset:
      if use_tfrecord:
        names = ("compression_type", "num_parallel_reads")
        return TFRecordDatasetWrapper(
          file_name, buffer_size=buffer_size, **{n: kwargs[n] for n in names if n in kwargs}
        )
      return FilePBDataset(
        file_name, buffer_size, input_pb_type, output_pb_type, feature_pruning_type,
        disable_iterator_save_restore=False, **kwargs,
      )  # fmt: skip

    at_once = cycle_length or _flags.flag_value("max_task_num_per_worker", None) or _DEFAULT_FILES_AT_ONCE
    if _is_stdin(patterns):
      # A tensor of a name cannot be told from a file's; stdin is one source anyway.
      dataset: tf.data.Dataset = read(tf.constant(""))
    else:
      dataset = files.interleave(
        read,
        cycle_length=at_once,
        block_length=block_length or 1,
        num_parallel_calls=num_parallel_calls or at_once,
        deterministic=bool(deterministic),
      )
    self._output_pb_type = None if use_tfrecord else record_output_type(input_pb_type, output_pb_type)
    super().__init__(dataset, dataset._variant_tensor)

  @property
  def output_pb_type(self) -> Optional[PbType]:
    """What the elements are; None for TFRecords, of which nobody knows."""
    return self._output_pb_type


def _is_stdin(patterns: Union[str, Sequence[str]]) -> bool:
  return _pattern_list(patterns) == [""]


def _pattern_list(patterns: Union[str, Sequence[str]]) -> List[str]:
  return sorted([patterns] if isinstance(patterns, str) else patterns) or [""]


def _files_of_worker(
  patterns: Union[str, Sequence[str]], shard_num: Optional[int], shard_index: Optional[int]
) -> tf.data.Dataset:
  context = native_task_context.get()
  num = shard_num if shard_num is not None else max(1, context.num_workers)
  index = shard_index if shard_index is not None else context.worker_index
  if not 0 <= index < num:
    raise ValueError(f"shard_index is {index} of shard_num {num}; it must be in [0, {num}).")
  if _is_stdin(patterns):
    return tf.data.Dataset.from_tensors("")
  listed = tf.data.Dataset.list_files(_pattern_list(patterns), shuffle=False)
  return listed.shard(num, index)


def _refuse_unbuilt(use_parquet: bool, kwargs: dict) -> None:
  enable = kwargs.pop("enable_dynamic_sharding", None)
  if enable is None:
    enable = _flags.flag_value("enable_dynamic_sharding", False)
  if enable:
    raise NotImplementedError(
      "enable_dynamic_sharding needs queues on a parameter server that all workers share; not built. Leave it False: "
      "every worker then reads its own share of the files."
    )
  if _flags.flag_value("data_service_dispatcher", ""):
    raise NotImplementedError("data_service_dispatcher: a tf.data service is not built; leave the flag empty.")
  if use_parquet:
    raise NotImplementedError("use_parquet: reading Parquet is not built; convert the files to TFRecords or Examples.")
