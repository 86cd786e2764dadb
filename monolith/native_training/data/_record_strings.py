# SPDX-License-Identifier: Apache-2.0
"""Records made of strings, and columns of records."""

from __future__ import annotations

import struct
from typing import Mapping, Optional, Sequence, Tuple

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data._record_settings import RecordType, type_name
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["string_to_variant", "string_to_variant_with_transform", "switch_slot_batch", "tf_example_to_example",
           "variant_to_zeros"]  # fmt: skip


def _data_source_key(name: str) -> int:
  """Java's hash of a source's name, moved up by a byte; 32 bits."""
  value = 0
  encoded = name.encode("utf-16-le")
  for unit in struct.unpack(f"<{len(encoded) // 2}H", encoded):
    value = (31 * value + unit) & 0xFFFFFFFF
  return value << 8 & 0xFFFFFFFF


def string_to_variant(
  tensor: tf.Tensor,
  variant_type: RecordType = "example",
  has_header: bool = False,
  has_sort_id: bool = False,
  lagrangex_header: bool = False,
  kafka_dump_prefix: bool = False,
  kafka_dump: bool = False,
  chnids: Optional[Sequence[int]] = None,
  datasources: Optional[Sequence[str]] = None,
  default_datasource: str = "",
) -> tf.Tensor:
  """Makes records of serialized messages. Special columns of Examples become fields, as in a dataset.

  Args:
    tensor: strings, any shape: a message each, or with has_header one in the frame of a stream. An empty string is an
      empty record.
    variant_type: `instance`, `example` or `example_batch`.
    has_header: whether messages have frames; the next four say what is in them, as of `FilePBDataset`.
    has_sort_id: a sort id.
    lagrangex_header: eight bytes with the key of the data source.
    kafka_dump_prefix: the prefix of a Kafka dump.
    kafka_dump: the eight bytes of a Kafka dump.
    chnids: channels whose records come from a source of their own.
    datasources: the name of the source for each; it sets the record's data_source_key.
    default_datasource: the source of all others; "" leaves their keys as they are. Not with lagrangex_header, which has
      the key.

  Returns:
    variant, the same shape.

  Raises:
    ValueError: chnids and datasources have different lengths, or sources are given with lagrangex_header.
    tf.errors.InvalidArgumentError: a string is no such message, or headers are described without has_header.

  >>> string_to_variant(["", ""]).shape.as_list()
  [2]
  """
  chnids, datasources = list(chnids or ()), list(datasources or ())
  if len(chnids) != len(datasources):
    raise ValueError(f"chnids has {len(chnids)} channels and datasources {len(datasources)} names; give one for each.")
  if lagrangex_header and (chnids or default_datasource):
    raise ValueError("lagrangex_header has the key of the source; give no chnids, datasources and default_datasource.")
  return gen_monolith_ops.string_to_variant(
    tensor,
    variant_type=type_name(variant_type),
    has_header=has_header,
    has_sort_id=has_sort_id,
    lagrangex_header=lagrangex_header,
    kafka_dump_prefix=kafka_dump_prefix,
    kafka_dump=kafka_dump,
    chnids=[int(chnid) for chnid in chnids],
    source_keys=[_data_source_key(name) for name in datasources],
    default_source_key=_data_source_key(default_datasource),
  )


def string_to_variant_with_transform(
  tensor: tf.Tensor,
  input_type: RecordType = "example",
  output_type: RecordType = "example",
  has_header: bool = False,
  has_sort_id: bool = False,
  lagrangex_header: bool = False,
  kafka_dump_prefix: bool = False,
  kafka_dump: bool = False,
) -> tf.Tensor:
  """Makes records of one type of serialized messages of another.

  Args:
    tensor: strings, any shape: a message each, or with has_header records of a stream, one after another.
    input_type: `instance`, `example` or `example_batch`.
    output_type: the same. An ExampleBatch gives a record a row; only an ExampleBatch becomes one.
    has_header: whether messages have frames; the next four say what is in them, as of `FilePBDataset`.
    has_sort_id: a sort id.
    lagrangex_header: eight bytes with the key of the data source.
    kafka_dump_prefix: the prefix of a Kafka dump.
    kafka_dump: the eight bytes of a Kafka dump.

  Returns:
    variant, [n]: all records in their order.

  Raises:
    tf.errors.InvalidArgumentError: a string is no such message, the input cannot become the output, or headers are
      described without has_header.

  >>> from idl.matrix.proto import example_pb2
  >>> batch = example_pb2.ExampleBatch(batch_size=3).SerializeToString()
  >>> string_to_variant_with_transform([batch], "example_batch", "instance").shape.as_list()
  [3]
  """
  return gen_monolith_ops.string_to_variant_with_transform(
    tensor,
    input_type=type_name(input_type),
    output_type=type_name(output_type),
    has_header=has_header,
    has_sort_id=has_sort_id,
    lagrangex_header=lagrangex_header,
    kafka_dump_prefix=kafka_dump_prefix,
    kafka_dump=kafka_dump,
  )


def variant_to_zeros(tensor: tf.Tensor) -> tf.Tensor:
  """Zeros of the shape of a tensor of variants, for those who ask for a shape only.

  Args:
    tensor: variants, any shape.

  Returns:
    int64, the same shape.

  >>> variant_to_zeros(string_to_variant(["", ""])).numpy().tolist()
  [0, 0]
  """
  return gen_monolith_ops.variant_to_zeros(tensor)


def tf_example_to_example(
  serialized: tf.Tensor,
  sparse_features: Mapping[str, int],
  dense_features: Sequence[str],
  label: str,
  instance_weight: Optional[str] = None,
) -> tf.Tensor:
  """Makes Examples of serialized `tf.train.Example`s.

  Args:
    serialized: strings, any shape.
    sparse_features: name -> slot of features that become fids: an int64 v has the signature v, a float v the signature
      int(log2(|v| + 1)).
    dense_features: features that keep their values.
    label: the feature with the labels; "" for none.
    instance_weight: the feature with the weight; without one, or where it is missing, the weight is 1.

  Returns:
    variant, the same shape. Features that are not named are dropped, those that are missing make no columns.

  Raises:
    tf.errors.InvalidArgumentError: a name is there twice, a slot is not in [1, 32768) or is there twice, a string is no
      tf.train.Example, or a sparse feature, a label or a weight is bytes.

  >>> feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[7]))
  >>> example = tf.train.Example(features=tf.train.Features(feature={"city": feature}))
  >>> record = tf_example_to_example([example.SerializeToString()], {"city": 3}, [], "")
  >>> parse_examples(record, ["city"])["city"].to_list() == [[(3 << 48) | 7]]
  True
  """
  return gen_monolith_ops.monolith_tf_example_to_example(
    serialized,
    sparse_names=list(sparse_features),
    sparse_slots=[int(slot) for slot in sparse_features.values()],
    dense_names=list(dense_features or ()),
    label=label or "",
    instance_weight=instance_weight or "",
  )


def switch_slot_batch(
  variant: tf.Tensor,
  features: Mapping[str, Tuple[bool, int]],
  variant_type: RecordType = "example_batch",
  suffix: str = "share",
) -> tf.Tensor:
  """Moves the fids of columns into other slots before they are parsed; their signatures stay.

  Args:
    variant: records, any shape.
    features: name -> (inplace, slot). Not in place, the column stays and a copy `<name>_<suffix>` with the same id has
      the other slot. A column that a record does not have is passed over. Fids of version 1 become version 2 where the
      slot is 1024 or more.
    variant_type: `example` or `example_batch`.
    suffix: of copies.

  Returns:
    Records, the same shape.

  Raises:
    tf.errors.InvalidArgumentError: no columns, a slot is not in [0, 32768), a column has other values than fids, or the
      records are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> example = example_pb2.Example()
  >>> example.named_feature.add(name="city").feature.fid_v2_list.value.append((1 << 48) | 7)
  >>> record = string_to_variant([example.SerializeToString()])
  >>> shared = switch_slot_batch(record, {"city": (False, 2)}, "example")
  >>> parse_examples(shared, ["city_share"])["city_share"].to_list() == [[(2 << 48) | 7]]
  True
  """
  return gen_monolith_ops.switch_slot_batch(
    variant,
    features=list(features),
    inplaces=[bool(inplace) for inplace, _ in features.values()],
    slots=[int(slot) for _, slot in features.values()],
    suffix=suffix,
    variant_type=type_name(variant_type),
  )
