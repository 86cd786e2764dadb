# SPDX-License-Identifier: Apache-2.0
"""Writes warm-up requests for a server, from a file of records or from chance.

python -m monolith.native_training.model_export.warmup_data_gen --output_path=warmup \
  --file_name=train.pb --variant_type=instance --batch_size=64 --max_records=1000
python -m monolith.native_training.model_export.warmup_data_gen --output_path=warmup --gen_type=random \
  --variant_type=example --sparse_features=f_user,f_item --dense_features=age --dense_feature_shapes=2

A server of TensorFlow Serving's kind reads them from `assets.extra/tf_serving_warmup_requests` of a model's version,
where an exporter with `warmup_file=` puts them.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import app, flags, logging
from google.protobuf.message import DecodeError

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training import _flags
from monolith.native_training.data.datasets import FilePBDataset, PbType
from monolith.native_training.data.feature_list import FeatureList
from monolith.native_training.model_export import _parser_args, _prediction_logs, _tool_flags, data_gen_utils

__all__ = ["PBReader", "define_flags", "gen_prediction_log_from_file", "main", "tf_dtype"]

_MESSAGES: Dict[str, Any] = {
  "instance": proto_parser_pb2.Instance,
  "example": example_pb2.Example,
  "example_batch": example_pb2.ExampleBatch,
}
_TYPE_NAMES = {
  "float": tf.float32,
  "fp32": tf.float32,
  "double": tf.float64,
  "fp64": tf.float64,
  "int": tf.int64,
  "long": tf.int64,
  "str": tf.string,
  "bytes": tf.string,
}


def _enum(values: Sequence[str]) -> Any:
  return lambda name, default, text: flags.DEFINE_enum(name, default, list(values), text)


_FLAGS: _tool_flags.Definitions = {
  "output_path": (flags.DEFINE_string, None, "The TFRecord file to write."),
  "gen_type": (_enum(["file", "random"]), "file", "Where records come from."),
  "variant_type": (_enum(list(_MESSAGES)), "instance", "What records are."),
  "model_name": (flags.DEFINE_string, "entry", "The model that requests name; a server ignores it."),
  "signature_name": (flags.DEFINE_list, [], "Signatures that requests take turns with, beside serving_default."),
  "batch_size": (flags.DEFINE_integer, 64, "Records a request; of an ExampleBatch made by chance its rows."),
  "max_records": (flags.DEFINE_integer, 1000, "Records in all."),
  "file_name": (flags.DEFINE_string, "", "File of records; empty reads stdin."),
  "lagrangex_header": (flags.DEFINE_bool, False, "Whether the file has them."),
  "sort_id": (flags.DEFINE_bool, True, "Whether the file has sort ids."),
  "kafka_dump": (flags.DEFINE_bool, False, "Whether the file is a Kafka dump."),
  "kafka_dump_prefix": (flags.DEFINE_bool, False, "Whether the file has its prefix."),
  "fidv1_features": (flags.DEFINE_list, [], "Slots of Instances' flat list, or names."),
  "fidv2_features": (flags.DEFINE_list, [], "Names of Instances' features with fids."),
  "sparse_features": (flags.DEFINE_list, [], "Names of Examples' features with fids."),
  "dense_features": (flags.DEFINE_list, [], "Names of dense features."),
  "dense_feature_shapes": (flags.DEFINE_list, [], "Values of each; 1 if not given."),
  "dense_feature_types": (flags.DEFINE_list, [], "Types of each; float if not given."),
  "extra_features": (flags.DEFINE_list, [], "Fields of LineId."),
  "extra_feature_shapes": (flags.DEFINE_list, [], "Values of each; 1 if not given."),
  "feature_list": (flags.DEFINE_string, None, "File of the feature list, where features have their slots."),
  "drop_rate": (flags.DEFINE_float, 0.5, "Share of fids left out of records made by chance."),
  "seed": (flags.DEFINE_integer, None, "Seed of what is made by chance."),
}


class PBReader:
  """Iterates over a file of records, a batch of serialized messages at a time.

  Args:
    file_name: the path; "" reads stdin.
    batch_size: records a batch; an ExampleBatch is a batch by itself.
    variant_type: "instance", "example" or "example_batch".
    lagrangex_header: whether the file has them.
    sort_id: whether the file has sort ids (not beside lagrangex headers).
    kafka_dump: whether the file is a Kafka dump.
    kafka_dump_prefix: whether the file has its prefix.

  Raises:
    ValueError: there is no such type, or batch_size is below 1. While iterating: a record is no such message.
    tf.errors.OpError: while iterating, the file cannot be read; see `FilePBDataset`.
  """

  def __init__(
    self,
    file_name: str = "",
    batch_size: int = 64,
    variant_type: str = "instance",
    lagrangex_header: bool = False,
    sort_id: bool = True,
    kafka_dump: bool = False,
    kafka_dump_prefix: bool = False,
  ):
    if variant_type not in _MESSAGES:
      raise ValueError(f"PBReader: variant_type is {variant_type!r}; use one of {', '.join(_MESSAGES)}.")
    if batch_size < 1:
      raise ValueError(f"PBReader: batch_size is {batch_size}; it must be >= 1.")
    self._file_name = file_name
    self._variant_type = variant_type
    self._batch_size = 1 if variant_type == "example_batch" else batch_size
    self._max_iter: Optional[int] = None
    self._framing = {
      "lagrangex_header": lagrangex_header,
      "has_sort_id": sort_id and not lagrangex_header,
      "kafka_dump": kafka_dump,
      "kafka_dump_prefix": kafka_dump_prefix,
    }

  def set_max_iter(self, max_records: int) -> None:
    """Ends after as many batches as hold at most `max_records` records, each ExampleBatch counted as one.

    Raises:
      ValueError: that is less than one batch.
    """
    self._max_iter = max_records // self._batch_size
    if self._max_iter < 1:
      raise ValueError(f"PBReader: max_records is {max_records}, less than a batch of {self._batch_size}.")

  def __iter__(self) -> Iterator[List[bytes]]:
    dataset_of = lambda: FilePBDataset(  # noqa: E731
      self._file_name,
      input_pb_type=PbType.from_name(self._variant_type),
      output_pb_type=PbType.PLAINTEXT,
      **self._framing,
    )
    for index, batch in enumerate(_batches(dataset_of, self._batch_size)):
      if index == self._max_iter:
        return
      for record in batch:
        self._check(record, index)
      yield batch

  def _check(self, record: bytes, index: int) -> None:
    try:
      _MESSAGES[self._variant_type].FromString(record)
    except DecodeError as error:
      raise ValueError(
        f"{self._file_name or 'stdin'}: a record of batch {index} is no {self._variant_type}: {error}; "
        f"check variant_type and the headers {self._framing}."
      ) from error


def _batches(dataset_of: Any, batch_size: int) -> Iterator[List[bytes]]:
  """The strings of a dataset, batch by batch, whether TensorFlow runs eagerly or not."""
  with tf.Graph().as_default():
    iterator = tf.compat.v1.data.make_one_shot_iterator(dataset_of().batch(batch_size))
    following = iterator.get_next()
    session = tf.compat.v1.Session()
  with session:
    while True:
      try:
        batch = session.run(following)
      except tf.errors.OutOfRangeError:
        return
      yield batch.tolist()


def gen_prediction_log_from_file(
  file_name: str,
  model_name: str = "entry",
  signature_name: Iterable[str] = (),
  variant_type: str = "instance",
  batch_size: int = 64,
  max_records: int = 1000,
  lagrangex_header: bool = False,
  sort_id: bool = True,
  kafka_dump: bool = False,
  kafka_dump_prefix: bool = False,
) -> Iterator[Any]:
  """Requests with the records of a file.

  Args:
    file_name: the path; "" reads stdin.
    model_name: the model that requests name.
    signature_name: signatures that requests take turns with; `serving_default` is always one of them.
    variant_type: what records are; says the input's name: `instances`, `examples` or `example_batch`.
    batch_size: records a request; the last may have fewer. An ExampleBatch is a request by itself.
    max_records: records in all.
    lagrangex_header: headers of the file, as the following; see `PBReader`.
    sort_id: see there.
    kafka_dump: see there.
    kafka_dump_prefix: see there.

  Yields:
    PredictionLogs.

  Raises:
    ImportError: tensorflow-serving-api is not installed.
    ValueError: see `PBReader`.
  """
  reader = PBReader(
    file_name, batch_size, variant_type, lagrangex_header, sort_id, kafka_dump, kafka_dump_prefix
  )  # fmt: skip
  reader.set_max_iter(max_records)
  names = _parser_args.signature_names(signature_name)
  input_name = _parser_args.input_name_of(variant_type)
  for index, batch in enumerate(reader):
    yield _prediction_logs.predict_log(model_name, names[index % len(names)], input_name, batch)


def tf_dtype(dtype: str) -> tf.DType:
  """The type of a name: TensorFlow's own, its number, or one of float, fp32, double, fp64, int, long, str and bytes.

  `int` is int64, as everywhere in records.

  Raises:
    ValueError: there is no such type.

  >>> tf_dtype("int"), tf_dtype("int64"), tf_dtype("float"), tf_dtype("9")
  (tf.int64, tf.int64, tf.float32, tf.int64)
  """
  name = str(dtype).strip().lower()
  try:
    return _TYPE_NAMES.get(name) or tf.as_dtype(int(name) if name.isdigit() else name)
  except TypeError:
    raise ValueError(f"{dtype!r} is no type; write one of {', '.join(_TYPE_NAMES)}, or a type of TensorFlow.") from None


def _from_file() -> Iterator[Any]:
  settings = flags.FLAGS
  return gen_prediction_log_from_file(
    settings.file_name,
    settings.model_name,
    settings.signature_name,
    settings.variant_type,
    settings.batch_size,
    settings.max_records,
    settings.lagrangex_header,
    settings.sort_id,
    settings.kafka_dump,
    settings.kafka_dump_prefix,
  )


def _by_chance() -> Iterator[Any]:
  settings = flags.FLAGS
  path = _flags.flag_value("feature_list", None)
  args = data_gen_utils.ParserArgs(
    model_name=settings.model_name,
    fidv1_features=[int(item) if item.isdigit() else item for item in settings.fidv1_features],
    fidv2_features=settings.fidv2_features,
    sparse_features=settings.sparse_features,
    dense_features=settings.dense_features,
    dense_feature_shapes=_tool_flags.integers("dense_feature_shapes"),
    dense_feature_types=[tf_dtype(name) for name in settings.dense_feature_types] or None,
    extra_features=settings.extra_features,
    extra_feature_shapes=_tool_flags.integers("extra_feature_shapes"),
    feature_list=FeatureList.parse(path) if path else None,
    batch_size=settings.batch_size,
    max_records=settings.max_records,
    signature_name=settings.signature_name,
    variant_type=settings.variant_type,
    drop_rate=settings.drop_rate,
  )
  if not args.has_fids:
    raise app.UsageError(f"no feature with fids is given for records of type {args.variant_type}; name some.")
  return data_gen_utils.gen_prediction_log(args, rng=settings.seed)


def define_flags() -> None:
  """Defines the program's flags, but for those that somebody has defined."""
  _tool_flags.define(_FLAGS)


def main(argv: List[str]) -> None:
  """Writes the file by the flags.

  Raises:
    app.UsageError: there are other arguments, or a flag is missing or cannot be read.
    ValueError: a record cannot be read or made up, or there is none.
  """
  _tool_flags.refuse_arguments(argv)
  output_path = _tool_flags.required("output_path")
  logs = _from_file() if flags.FLAGS.gen_type == "file" else _by_chance()
  count = _prediction_logs.write_logs(output_path, logs)
  logging.info("Wrote %d warm-up requests to %s.", count, output_path)


if __name__ == "__main__":
  define_flags()
  app.run(main)
