# SPDX-License-Identifier: Apache-2.0
"""Flags by which a run says what its datasets read. Defined on import, unless somebody has defined them."""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

from absl import flags

_STRINGS: Dict[str, Tuple[Any, str]] = {
  "data_service_dispatcher": ("", "Address of a tf.data service, set by mlp_utils; PBDataset reads through none."),
  "dataset_input_patterns": (None, "Glob patterns of the input, comma separated; takes the place of file names."),
  "dataset_input_compression_type": (None, "Compression of input files: a name of CompressType."),
  "kafka_other_metadata": (None, "More configuration of a Kafka consumer; Kafka is not built."),
}
_BOOLEANS: Dict[str, Tuple[Any, str]] = {
  "dataset_use_dataservice": (False, "Whether mlp_utils waits for a tf.data service; PBDataset reads through none."),
  "dataset_input_use_snappy": (None, "Whether input files are compressed with Snappy."),
  "dataset_input_use_parquet": (None, "Whether input files are Parquet; not built."),
  "dataset_input_use_tfrecord": (None, "Whether input files are TFRecords."),
}
_INTEGERS: Dict[str, Tuple[Any, str]] = {
  "dataset_worker_idx": (None, "Index of this worker at a tf.data service."),
  "dataset_num_workers": (None, "Number of workers at a tf.data service."),
}


def _define_all() -> None:
  define: Callable[..., Any]
  definitions: Dict[str, Tuple[Any, str]]
  for definitions, define in (
    (_STRINGS, flags.DEFINE_string),
    (_BOOLEANS, flags.DEFINE_bool),
    (_INTEGERS, flags.DEFINE_integer),
  ):
    for name, (default, text) in definitions.items():
      if name not in flags.FLAGS:
        define(name, default, text)


_define_all()
