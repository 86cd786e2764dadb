# SPDX-License-Identifier: Apache-2.0
"""One file of records as a dataset."""

from __future__ import annotations

import contextlib
from typing import Any, Optional, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops

from monolith.native_training import _flags
from monolith.native_training.data import _dataset_flags  # noqa: F401
from monolith.native_training.data._pb_type import CompressType, FeaturePruningType, PbType, input_type_or_flag
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["FilePBDataset", "OUTPUT_TYPE_COLLECTION", "damaged_records", "iterator_checkpoints_disabled",
           "record_output_type"]  # fmt: skip

OUTPUT_TYPE_COLLECTION = "monolith_dataset_output_pb_type"
_NO_ITERATOR_CHECKPOINTS = "monolith_disable_iterator_save_restore"
_MIB = 1 << 20
_FRAMING_FLAGS = {"has_sort_id": "sort_id", "lagrangex_header": "lagrangex_header", "kafka_dump": "kafka_dump",
                  "kafka_dump_prefix": "kafka_dump_prefix"}  # fmt: skip
_FRAMING_DEFAULTS = {"has_sort_id": True}


def damaged_records() -> tf.Tensor:
  """How many damaged records this process has passed over (`damaged_records="skip"`), an int64 scalar."""
  return gen_monolith_ops.monolith_damaged_records()


def iterator_checkpoints_disabled(graph: tf.Graph) -> bool:
  """Whether some dataset of the graph asks that its iterator stay out of checkpoints."""
  return bool(graph.get_collection(_NO_ITERATOR_CHECKPOINTS))


class FilePBDataset(dataset_ops.DatasetSource):
  """The records of one file, or of stdin, in their order.

  A file has no header. Before every record stand the headers that the writer chose: `lagrangex_header`, or any of
  `kafka_dump_prefix`, `has_sort_id` and `kafka_dump`; then the length, 8 bytes little endian, and the message.
  Each element is a scalar `tf.variant` with one message (a string for PLAINTEXT); batch them and hand the batch to the
  parser of the output type. An ExampleBatch that is read as EXAMPLE or INSTANCE gives an element a row.

  Reading an Example copies the columns `__LINE_ID__`, `__LABEL__` and `instance_weight` into the fields line_id, label
  and instance_weight.

  Args:
    file_name: path on any file system of TensorFlow, or a string tensor; "" is stdin, which is never decompressed.
    buffer_size: longest record of stdin in bytes; default 128 MiB for EXAMPLEBATCH, else 64 MiB. Records of files may
      have up to 2 GiB.
    input_pb_type: what the records are (`PbType` or its name); default the flag `data_type`, else INSTANCE.
    output_pb_type: what the elements are; default INSTANCE for INSTANCE, else EXAMPLE.
    feature_pruning_type: `FeaturePruningType`; the default drops raw columns.
    disable_iterator_save_restore: keeps the iterator out of checkpoints of the graph (graph mode, name not a tensor).
    use_snappy: the same as compression_type SNAPPY. Without it, nor the flag `dataset_input_use_snappy`, a name that
      ends in `.snappy` means Snappy.
    compression_type: `CompressType`; default the flag `dataset_input_compression_type`. Snappy is Hadoop's block
      format. Zstandard and zlib come from TensorFlow's own library, or from the system's.
    **kwargs: `has_sort_id` (default the flag `sort_id`, else True), `kafka_dump`, `kafka_dump_prefix`,
      `lagrangex_header` (default the flags, else False); `damaged_records`: "stop" raises on a record that cannot be
      read, with file and offset, "skip" logs and counts it (`damaged_records()`) and goes on, or to the end of the
      file where the frame itself is damaged; `allow_truncated`: True lets a file that is still being written end
      inside a record.

  Raises:
    ValueError: an argument is not known or two contradict each other.

  While iterating: `DataLossError` where the file breaks off or has impossible lengths, `FailedPreconditionError` where
  a record is no message of its type, `InvalidArgumentError` where a column of an ExampleBatch has another length.

  >>> import struct, tempfile
  >>> with tempfile.NamedTemporaryFile(suffix=".pb") as file:
  ...   _ = file.write(struct.pack("<QQ", 0, 5) + b"hello")  # an empty sort id, then a message of five bytes
  ...   file.flush()
  ...   [element.numpy() for element in FilePBDataset(file.name, output_pb_type=PbType.PLAINTEXT)]
  [b'hello']
  """

  def __init__(
    self,
    file_name: Union[str, tf.Tensor] = "",
    buffer_size: Optional[int] = None,
    input_pb_type: Optional[Union[PbType, str]] = None,
    output_pb_type: Optional[Union[PbType, str]] = None,
    feature_pruning_type: int = FeaturePruningType.PRUNING_RAW_FEATURE,
    disable_iterator_save_restore: bool = True,
    use_snappy: Optional[bool] = None,
    compression_type: Union[CompressType, int, str] = CompressType.UNKNOW,
    **kwargs: Any,
  ):
    framing = _take_framing(kwargs)
    policy = kwargs.pop("damaged_records", "stop")
    if policy not in ("stop", "skip"):
      raise ValueError(f"damaged_records is {policy!r}; use 'stop' or 'skip'.")
    allow_truncated = bool(kwargs.pop("allow_truncated", False))
    _refuse_unknown(kwargs)
    input_type = input_type_or_flag(input_pb_type)
    output_type = _output_type(input_type, output_pb_type)
    compression = _compression(file_name, use_snappy, compression_type)
    if not isinstance(buffer_size, tf.Tensor) and not buffer_size:
      buffer_size = (128 if input_type is PbType.EXAMPLEBATCH else 64) * _MIB
    self._output_pb_type = output_type
    out_type = tf.string if output_type is PbType.PLAINTEXT else tf.variant
    self._spec = tf.TensorSpec([], out_type)
    variant = gen_monolith_ops.pb_dataset(
      file_name=file_name,
      use_snappy=False,
      buffer_size=tf.cast(buffer_size, tf.int64),
      input_pb_type=input_type.to_name(),
      output_pb_type=output_type.to_name(),
      feature_pruning_type=int(feature_pruning_type),
      out_type=out_type,
      compression_type=int(compression),
      damaged_records=policy,
      allow_truncated=allow_truncated,
      **framing,
    )
    super().__init__(variant)
    _tell_graph(output_type, disable_iterator_save_restore and isinstance(file_name, str))

  @property
  def element_spec(self) -> tf.TensorSpec:
    return self._spec

  @property
  def output_pb_type(self) -> PbType:
    """What the elements are."""
    return self._output_pb_type


def _take_framing(kwargs: dict) -> dict:
  """Takes the framing arguments out of kwargs; flags and defaults stand in for those that are missing."""
  framing = {}
  for name, flag in _FRAMING_FLAGS.items():
    value = kwargs.pop(name, None)
    if value is None:
      value = _flags.flag_value(flag, None)
    framing[name] = bool(_FRAMING_DEFAULTS.get(name, False) if value is None else value)
  return framing


# Arguments of other sources, which PBDataset hands on without looking.
_OF_OTHER_SOURCES = frozenset(["has_header", "variant_type", "stream_timeout", "message_poll_timeout", "filter_empty"])


def _refuse_unknown(kwargs: dict) -> None:
  unknown = sorted(set(kwargs) - _OF_OTHER_SOURCES)
  if unknown:
    raise ValueError(f"FilePBDataset has no argument {', '.join(unknown)}.")


def record_output_type(
  input_pb_type: Optional[Union[PbType, str]], output_pb_type: Optional[Union[PbType, str]]
) -> PbType:
  """What the elements of a file are, of its two arguments and the flag."""
  return _output_type(input_type_or_flag(input_pb_type), output_pb_type)


def _output_type(input_type: PbType, output_type: Optional[Union[PbType, str]]) -> PbType:
  if output_type is None:
    return PbType.INSTANCE if input_type is PbType.INSTANCE else PbType.EXAMPLE
  output_type = PbType.from_name(output_type) if isinstance(output_type, str) else output_type
  if input_type is PbType.PLAINTEXT or (output_type is PbType.EXAMPLEBATCH and input_type is not output_type):
    raise ValueError(
      f"records of type {input_type.to_name()} cannot become {output_type.to_name()}; inputs are instance, example and "
      "examplebatch, and only an examplebatch can become one."
    )
  return output_type


def _compression(file_name: Any, use_snappy: Optional[bool], compression_type: Any) -> CompressType:
  if isinstance(compression_type, str):
    compression_type = _compression_named(compression_type)
  compression = CompressType(compression_type)
  if compression is CompressType.UNKNOW:
    compression = _compression_named(_flags.flag_value("dataset_input_compression_type", None) or "UNKNOW")
  flag = _flags.flag_value("dataset_input_use_snappy", None)
  snappy = bool(use_snappy or flag)
  if not snappy and flag is None and isinstance(file_name, str) and compression is CompressType.UNKNOW:
    snappy = file_name.endswith(".snappy")
  if snappy and compression not in (CompressType.SNAPPY, CompressType.UNKNOW):
    raise ValueError(f"use_snappy together with compression_type {compression.name}; give one of them.")
  return CompressType.SNAPPY if snappy else compression


def _compression_named(name: str) -> CompressType:
  try:
    return CompressType[name.upper()]
  except KeyError:
    known = ", ".join(member.name for member in CompressType)
    raise ValueError(f"compression_type {name!r} is not known; use one of {known}.") from None


def _tell_graph(output_type: PbType, disable_checkpoints: bool) -> None:
  if tf.executing_eagerly():
    return
  graph = tf.compat.v1.get_default_graph()
  with contextlib.suppress(ValueError):  # a frozen collection
    graph.add_to_collection(OUTPUT_TYPE_COLLECTION, output_type.to_name())
    if disable_checkpoints:
      graph.add_to_collection(_NO_ITERATOR_CHECKPOINTS, True)
