# SPDX-License-Identifier: Apache-2.0
"""Records in variants and back, and records by chance, for tests of the ops on records."""

import random

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training.data import feature_utils

INVALID = -3.4028234663852886e38  # the lowest float
KINDS = {
  "instance": proto_parser_pb2.Instance,
  "example": example_pb2.Example,
  "example_batch": example_pb2.ExampleBatch,
}
DEVICES = ("phone", "tablet", "")
V1, V2 = 54, 48  # where the slot begins


def variants(messages, kind):
  """A vector of records, or for one message a scalar."""
  many = isinstance(messages, (list, tuple))
  strings = [m if isinstance(m, bytes) else m.SerializeToString() for m in (messages if many else [messages])]
  return feature_utils.string_to_variant(tf.constant(strings) if many else tf.constant(strings[0]), kind)


def _varint(data, at):
  value = shift = 0
  while True:
    byte = data[at]
    at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
    if byte < 128:
      return value, at


def payloads(tensor):
  """(type, bytes) of the variants in a tensor, as they leave the process."""
  proto = tensor_pb2.TensorProto.FromString(tf.io.serialize_tensor(tensor).numpy())
  sizes, at = [], 0
  for _ in range(tf.size(tensor).numpy()):
    size, at = _varint(proto.tensor_content, at)
    sizes.append(size)
  found = []
  for size in sizes:
    data = tensor_pb2.VariantTensorDataProto.FromString(proto.tensor_content[at : at + size])
    found.append((data.type_name, data.metadata))
    at += size
  return found


def messages(tensor, kind):
  """The messages in a tensor of variants."""
  names = {"instance": "Instance", "example": "Example", "example_batch": "ExampleBatch"}
  found = payloads(tensor)
  assert all(name == names[kind] for name, _ in found)
  return [KINDS[kind].FromString(data) for _, data in found]


def _fill_line_id(line_id, rng):
  if rng.random() < 0.2:
    return
  line_id.uid = rng.choice([0, 1, 2, 2**63 + 1, 2**64 - 1])
  line_id.req_time = rng.randrange(-2, 4)
  line_id.actions.extend(rng.choices(range(-1, 6), k=rng.randrange(5)))
  line_id.pre_actions.extend(rng.choices(range(4), k=rng.randrange(3)))
  line_id.special_strategies.extend(rng.choices(range(4), k=rng.randrange(3)))
  line_id.chnid = rng.randrange(4)
  line_id.rank = rng.randrange(-1, 30)
  line_id.is_draw = rng.random() < 0.5
  if rng.random() < 0.7:
    line_id.sample_rate = rng.choice([0.25, 0.5, 1.0])
  line_id.device_type = rng.choice(DEVICES)


def _labels(rng):
  return rng.choices([0.0, 0.5, 1.0, 2.0, -1.0, INVALID], k=rng.randrange(4))


def _fid(rng, shift):
  return rng.randrange(6) << shift | rng.randrange(4)


def random_instance(rng):
  instance = proto_parser_pb2.Instance(fid=[_fid(rng, V1) for _ in range(rng.randrange(5))], label=_labels(rng))
  _fill_line_id(instance.line_id, rng)
  for name in rng.sample("abcd", rng.randrange(4)):
    feature = instance.feature.add(name=name, fid=[_fid(rng, V2) for _ in range(rng.randrange(3))])
    if rng.random() < 0.3:
      feature.fid_list.add(value=[_fid(rng, V2)])
  return instance


def random_example(rng):
  example = example_pb2.Example(label=_labels(rng), data_source_key=rng.randrange(3))
  _fill_line_id(example.line_id, rng)
  for name in rng.sample("abcdefg", rng.randrange(7)):
    feature = example.named_feature.add(name=name, id=rng.randrange(3)).feature
    n = rng.randrange(3)
    kind = rng.randrange(6)
    if kind == 0:
      feature.fid_v1_list.value.extend(_fid(rng, V1) for _ in range(n))
    elif kind == 1:
      feature.fid_v2_list.value.extend(_fid(rng, V2) for _ in range(n))
    elif kind == 2:
      feature.float_list.value.extend(rng.choices([0.0, 0.5, 1.5], k=n))
    elif kind == 3:
      feature.double_list.value.extend(rng.choices([0.0, 0.1, 1.5], k=n))
    elif kind == 4:
      feature.int64_list.value.extend(rng.choices(range(4), k=n))
    else:
      feature.bytes_list.value.extend(rng.choices([b"", b"ab", b"abc", b"xab"], k=n))
  return example


def random_records(kind, n, seed):
  rng = random.Random(seed)
  make = {"instance": random_instance, "example": random_example}[kind]
  return [make(rng) for _ in range(n)]


def field_bytes(number, payload):
  """A field of bytes with a number that no message has, for tests that it is kept."""

  def varint(value):
    out = b""
    while value >= 128:
      out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])

  return varint(number << 3 | 2) + varint(len(payload)) + payload
