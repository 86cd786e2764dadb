# SPDX-License-Identifier: Apache-2.0
"""Sources that are not there, most for want of a service or library. They are refused when somebody makes one."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = [
  "DynamicMatchingFilesDataset",
  "KafkaDataset",
  "MergeFlowDataset",
  "ParquetDataset",
  "SplitFlowDataset",
  "create_plain_kafka_dataset",
]

_KAFKA = (
  "needs a Kafka consumer in the op library, which is not built. Dump the topic into files and read those "
  "(kafka_dump, kafka_dump_prefix), or feed a tf.data.Dataset.from_generator of your own consumer to the parsers, "
  "which take serialized strings."
)


class KafkaDataset:
  """Messages of Kafka topics; refused."""

  def __init__(self, *args: Any, **kwargs: Any):
    raise NotImplementedError(f"KafkaDataset {_KAFKA}")


def create_plain_kafka_dataset(*args: Any, **kwargs: Any) -> NoReturn:
  """Raw messages of Kafka topics; refused.

  Raises:
    NotImplementedError: always.
  """
  raise NotImplementedError(f"create_plain_kafka_dataset {_KAFKA}")


class ParquetDataset:
  """Rows of a Parquet file; refused."""

  def __init__(self, *args: Any, **kwargs: Any):
    raise NotImplementedError(
      "ParquetDataset needs the Arrow library in the op library, which is not built; convert the files to TFRecords or "
      "Examples."
    )


class DynamicMatchingFilesDataset:
  """File names dealt out by a tf.data service; refused."""

  def __init__(self, *args: Any, **kwargs: Any):
    raise NotImplementedError(
      "DynamicMatchingFilesDataset needs a tf.data service, which is not built; use tf.data.Dataset.list_files."
    )


class SplitFlowDataset:
  """The part of a stream that comes from one data source; refused."""

  def __init__(self, *args: Any, **kwargs: Any):
    raise NotImplementedError(
      "SplitFlowDataset is not built; read the stream once for each data source and keep its records with "
      "Dataset.filter and feature_utils.filter_by_value."
    )


class MergeFlowDataset:
  """Several streams as one; refused."""

  def __init__(self, *args: Any, **kwargs: Any):
    raise NotImplementedError(
      "MergeFlowDataset is not built; tf.data.Dataset.choose_from_datasets merges streams of one record type."
    )
