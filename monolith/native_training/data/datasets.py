# SPDX-License-Identifier: Apache-2.0
"""Sources of training data.

`PBDataset` is the door to all of them: it looks at its arguments and the flags and returns a dataset of one of the
classes below.
"""

from __future__ import annotations

from typing import Any, Dict, List

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.core.errors import CallerError
from monolith.native_training import _flags
from monolith.native_training.data import _dataset_flags  # noqa: F401
from monolith.native_training.data._cache_one_dataset import CacheOneDataset
from monolith.native_training.data._file_datasets import DistributedFilePBDataset, TFRecordDatasetWrapper
from monolith.native_training.data._input_patterns import expand_pattern, gen_patterns
from monolith.native_training.data._item_pool import POOL_KEY
from monolith.native_training.data._negative_gen import NegativeGenDataset
from monolith.native_training.data._pb_type import CompressType, FeaturePruningType, PbType
from monolith.native_training.data._record_dataset import (
  OUTPUT_TYPE_COLLECTION,
  FilePBDataset,
  damaged_records,
  iterator_checkpoints_disabled,
)
from monolith.native_training.data._record_transforms import InstanceReweightDataset, TransformDataset
from monolith.native_training.data._refused_sources import (
  DynamicMatchingFilesDataset,
  KafkaDataset,
  MergeFlowDataset,
  ParquetDataset,
  SplitFlowDataset,
  create_plain_kafka_dataset,
)

__all__ = [
  "CacheOneDataset",
  "CompressType",
  "DistributedFilePBDataset",
  "DynamicMatchingFilesDataset",
  "FeaturePruningType",
  "FilePBDataset",
  "InstanceReweightDataset",
  "KafkaDataset",
  "MergeFlowDataset",
  "NegativeGenDataset",
  "OUTPUT_TYPE_COLLECTION",
  "PBDataset",
  "POOL_KEY",
  "ParquetDataset",
  "PbType",
  "SplitFlowDataset",
  "TFRecordDatasetWrapper",
  "TransformDataset",
  "create_plain_kafka_dataset",
  "damaged_records",
  "iterator_checkpoints_disabled",
]

_TFRECORD_ARGUMENTS = ("file_name", "compression_type", "buffer_size", "num_parallel_reads")
_POSITIONALS = (
  "topics_or_files", "buffer_size_or_group_id", "input_pb_type_or_servers", "output_pb_type", "feature_pruning_type",
  "disable_iterator_save_restore",
)  # fmt: skip
_TYPE_NAMES = [member.to_name() for member in PbType] + ["example_batch"]
# Meant for many files; one file has no use for them.
_MANY_FILES_ONLY = (
  "exclude_fn", "cycle_length", "block_length", "num_parallel_calls", "deterministic", "shard_num", "shard_index",
  "enable_dynamic_sharding",
)  # fmt: skip


class PBDataset:
  """Makes the dataset that its arguments describe; the call returns an object of another class.

  * a file name, or nothing (stdin): `FilePBDataset`;
  * a list of patterns, `patterns=`, or the flag `dataset_input_patterns` (comma separated, with `{DATE(a,b)}` and
    `{INT(a,b)}`): `DistributedFilePBDataset`;
  * `use_tfrecord=True` or the flag `dataset_input_use_tfrecord`: TFRecords;
  * topics with group_id and servers, by argument or by the flags kafka_topics, kafka_group_id and kafka_servers:
    `KafkaDataset`, which is refused.

  Args:
    topics_or_files: file name, list of patterns, or list of topics.
    buffer_size_or_group_id: buffer_size (int) of files, or group_id of Kafka.
    input_pb_type_or_servers: input_pb_type of files, or servers of Kafka.
    output_pb_type: see `FilePBDataset`.
    feature_pruning_type: see `FilePBDataset`.
    disable_iterator_save_restore: see `FilePBDataset`.
    **kwargs: arguments of the class that the call returns; explicit names (file_name, patterns, topics, buffer_size,
      group_id, input_pb_type, servers) win over the positional ones.

  Raises:
    ValueError: arguments contradict each other, or no file matches dataset_input_patterns.
    NotImplementedError: the source is not built.

  >>> import struct, tempfile
  >>> from idl.matrix.proto import example_pb2
  >>> from monolith.native_training.data.parsers import parse_examples
  >>> example = example_pb2.Example(label=[1.0]).SerializeToString()
  >>> with tempfile.NamedTemporaryFile(suffix=".pb") as file:
  ...   _ = file.write(struct.pack("<QQ", 0, len(example)) + example)
  ...   file.flush()
  ...   dataset = PBDataset(file.name, input_pb_type=PbType.EXAMPLE).batch(512)
  ...   dataset = dataset.map(lambda batch: parse_examples(batch, ["user"], ["label"]))
  ...   [(batch["user"].to_list(), batch["label"].numpy().tolist()) for batch in dataset]
  [([[]], [[1.0]])]
  """

  def __new__(cls, *args: Any, **kwargs: Any) -> Any:
    if len(args) > len(_POSITIONALS):
      raise ValueError(f"PBDataset takes {len(_POSITIONALS)} positional arguments, not {len(args)}.")
    for name, value in zip(_POSITIONALS, args, strict=False):
      if name in kwargs:
        raise ValueError(f"PBDataset: {name} is given twice.")
      kwargs[name] = value
    arguments = _by_their_names({name: value for name, value in kwargs.items() if value is not None})
    _apply_flags(arguments)
    return _make(arguments)

  gen_patterns = staticmethod(gen_patterns)


def _by_their_names(arguments: Dict[str, Any]) -> Dict[str, Any]:
  """Replaces the three arguments with two meanings by the one that their types say."""
  found: Dict[str, Any] = {}
  files = arguments.pop("topics_or_files", None)
  if isinstance(files, (list, tuple)):
    found["patterns"] = found["topics"] = list(files)
  elif files is not None and not (isinstance(files, str) and not files):
    found["file_name"] = files
  size_or_group = arguments.pop("buffer_size_or_group_id", None)
  if size_or_group is not None:
    found["buffer_size" if isinstance(size_or_group, int) else "group_id"] = size_or_group
  type_or_servers = arguments.pop("input_pb_type_or_servers", None)
  if type_or_servers is not None:
    is_type = isinstance(type_or_servers, PbType) or type_or_servers in _TYPE_NAMES
    found["input_pb_type" if is_type else "servers"] = type_or_servers
  return {**found, **arguments}


def _apply_flags(arguments: Dict[str, Any]) -> None:
  patterns = _flags.flag_value("dataset_input_patterns", None)
  if patterns:
    arguments["patterns"] = _existing_patterns(patterns)
    arguments.pop("file_name", None)
    arguments.pop("topics", None)
  for name in ("use_parquet", "use_tfrecord"):
    flag = _flags.flag_value(f"dataset_input_{name}", None)
    if flag is not None:
      arguments[name] = flag
  if arguments.get("use_parquet") and arguments.get("use_tfrecord"):
    raise CallerError("use_parquet and use_tfrecord are both set; files are one or the other.")
  kafka = {name: _flags.flag_value(f"kafka_{name}", None) for name in ("topics", "group_id", "servers")}
  if all(kafka.values()):
    for name, value in kafka.items():
      arguments.setdefault(name, value)


def _existing_patterns(flag: str) -> List[str]:
  pieces = _split_outside_parentheses(flag.replace(" ", ""))
  patterns = [pattern for piece in pieces for pattern in expand_pattern(piece)]
  existing = [pattern for pattern in patterns if tf.io.gfile.glob(pattern)]
  if not existing:
    raise CallerError(f"dataset_input_patterns: no file matches any of {', '.join(patterns)}.")
  return existing


def _split_outside_parentheses(text: str) -> List[str]:
  pieces, depth = [""], 0
  for char in text:
    depth += (char == "(") - (char == ")")
    if char == "," and depth == 0:
      pieces.append("")
    else:
      pieces[-1] += char
  return [piece for piece in pieces if piece]


def _make(arguments: Dict[str, Any]) -> Any:
  if all(arguments.get(name) for name in ("topics", "group_id", "servers")):
    return KafkaDataset(**arguments)
  for name in ("topics", "group_id", "servers", "poll_batch_size", "configuration", "container", "shared_name"):
    arguments.pop(name, None)
  if arguments.get("patterns") is not None:
    arguments.pop("file_name", None)
    arguments.pop("disable_iterator_save_restore", None)
    return DistributedFilePBDataset(**arguments)
  for name in _MANY_FILES_ONLY:
    arguments.pop(name, None)
  if arguments.pop("use_parquet", False):
    return ParquetDataset(**arguments)
  if arguments.pop("use_tfrecord", False):
    return TFRecordDatasetWrapper(**{name: arguments[name] for name in _TFRECORD_ARGUMENTS if name in arguments})
  return FilePBDataset(**arguments)
