# SPDX-License-Identifier: Apache-2.0
"""Datasets of records made of datasets of records."""

import collections
import math
import random

import pb_records
import pytest
import records
from records import INVALID, messages

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training.data import feature_utils as fu
from monolith.native_training.data.datasets import (
  FilePBDataset,
  InstanceReweightDataset,
  PbType,
  TransformDataset,
)
from monolith.native_training.data.transform.transforms import (
  AddLabel,
  Compose,
  FilterByAction,
  FilterByFid,
  FilterByLabel,
  FilterByValue,
  LogicalOr,
)
from monolith.native_training.runtime.ops import gen_monolith_ops

KINDS = ("instance", "example")


def source(rows, kind):
  serialized = [row.SerializeToString() for row in rows]
  return tf.data.Dataset.from_tensor_slices(serialized).map(lambda s: fu.string_to_variant(s, kind))


def elements(dataset, kind):
  return [messages(element, kind)[0] for element in dataset]


def numbered(kind, n=40):
  rows = []
  for i in range(n):
    row = records.KINDS[kind](label=[i])
    row.line_id.uid = i
    row.line_id.actions.append(i)
    if kind == "instance":
      row.fid.append(1000 + (i >= 10))
    else:
      row.named_feature.add(name="x").feature.fid_v2_list.value.append(1000 + (i >= 10))
    rows.append(row)
  return rows


@pytest.mark.parametrize("kind", KINDS)
def test_the_chain_of_the_description(kind):
  chain = Compose(
    [
      FilterByFid(select_fids=[1001]),
      FilterByValue("uid", "in", list(range(20, 40))),
      LogicalOr(FilterByValue("uid", "between", [20, 30]), FilterByAction(range(30, 35))),
    ]
  )
  found = elements(source(numbered(kind), kind).transform(chain, variant_type=kind), kind)
  assert [m.line_id.uid for m in found] == list(range(20, 35)) and len(found) == 15


@pytest.mark.parametrize("kind", KINDS)
def test_every_step(kind):
  rows = numbered(kind)

  def uids(step):
    return [m.line_id.uid for m in elements(TransformDataset(source(rows, kind), step, kind), kind)]

  assert uids(Compose([])) == list(range(40))
  assert uids(FilterByFid()) == uids(FilterByAction()) == list(range(40))
  assert uids(FilterByFid(filter_fids=[1000])) == list(range(10, 40))
  assert uids(FilterByFid(has_fids=[1000, 7])) == list(range(10))
  assert uids(FilterByAction([3, 50])) == [3]
  assert uids(FilterByLabel([38])) == [38, 39]
  assert uids(FilterByLabel([0, 0])) == []
  assert uids(LogicalOr(FilterByAction([1]), FilterByAction([2]))) == [1, 2]
  assert uids(LogicalOr(AddLabel("1::1", 0, 1), FilterByAction([2]))) == list(range(40))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_added(kind):
  rows = numbered(kind, 3)
  chain = Compose([AddLabel("1:2:1", -1, 0.5), FilterByValue("sample_rate", "eq", 0.5), FilterByLabel([-5, -5])])
  found = elements(source(rows, kind).transform(chain, kind), kind)
  assert [list(m.label) for m in found] == [[1, 1], [2, -1]], (
    "0 became invalid, and the first has no action of the task"
  )
  both = LogicalOr(AddLabel("1::1", -1, 0.5), AddLabel("2::1", -2, 0.25))
  found = elements(source(rows, kind).transform(both, kind), kind)
  assert [list(m.label) for m in found] == [[INVALID, -1, -2], [1, 1, -2], [2, -1, 1]]
  assert [m.line_id.sample_rate for m in found] == [0.25] * 3


def test_rates_repeat_under_a_seed():
  rows = [example_pb2.Example()] * 2000
  chain = Compose([AddLabel("1::0.3", 0, 1), FilterByLabel([-1])])
  numbers = source(rows, "example")

  def kept(seed):
    tf.random.set_seed(seed)
    dataset = numbers.transform(chain, "example")
    first, again = len(list(dataset)), len(list(dataset))
    assert first == again, "iterators of one dataset decide alike"
    return first

  assert kept(1) == kept(1) and len({kept(seed) for seed in range(3)}) > 1
  assert abs(kept(1) / 2000 - 0.3) < 4 * math.sqrt(0.21 / 2000)
  assert len(list(numbers.transform(Compose([AddLabel("1::0", 0, 1), FilterByLabel([-1])]), "example"))) == 0
  assert len(list(numbers.transform(Compose([AddLabel("1::1", 0, 1), FilterByLabel([-1])]), "example"))) == 2000


def test_iterators_go_on_where_they_were(tmp_path):
  rows = numbered("example", 60)
  for row in rows:
    row.label[:] = [-1]  # becomes invalid, so that the drawn label alone decides
  tf.random.set_seed(7)
  dataset = source(rows, "example").transform(Compose([AddLabel("99::0.5", 0, 1), FilterByLabel([-1, -1])]), "example")
  dataset = dataset.instance_reweight("1", ",".join(f"{i}:3:1" for i in range(60)), variant_type="example")
  expected = elements(dataset, "example")
  assert 30 < len(expected) < 150
  for taken in (0, 1, 20, len(expected)):
    iterator = iter(dataset)
    assert [messages(next(iterator), "example")[0] for _ in range(taken)] == expected[:taken]
    path = tf.train.Checkpoint(iterator=iterator).save(str(tmp_path / "ckpt"))
    other = iter(dataset)
    tf.train.Checkpoint(iterator=other).restore(path)
    assert [messages(element, "example")[0] for element in other] == expected[taken:]


def rank(actions, priority):
  if not actions:
    return 2000
  return min((priority.index(a) + 1 for a in actions if a in priority), default=1000)


def count(actions, priority, weights):
  if not actions:
    return 0
  listed = [a for a in actions if a in priority]
  counted = [a for a in actions if a not in priority] + ([min(listed, key=priority.index)] if listed else [])
  return math.prod(weights.get(a, (1, None))[0] for a in counted)


def best_label(actions, priority, weights):
  listed = [a for a in actions if a in priority]
  return weights.get(min(listed, key=priority.index), (1, None))[1] if listed else None


def reweighted(row, priority, weights):
  """The twin: (copies, labels)."""
  p, c, labels = list(row.line_id.pre_actions), list(row.line_id.actions), list(row.label)
  if not p and not c:
    return 1, labels
  if rank(p, priority) <= rank(c, priority):
    return 0, labels
  label = best_label(c, priority, weights)
  if label is not None:
    labels = [label, *labels[1:]]
  if not labels:
    return 0, labels
  before, n, m = best_label(p, priority, weights), count(p, priority, weights), count(c, priority, weights)
  if before is None:
    return m, labels
  if before != labels[0]:
    return n + m, labels
  if n > m:
    labels = [-labels[0], *labels[1:]]
  return abs(n - m), labels


@pytest.mark.parametrize("kind", KINDS)
def test_reweights_as_the_twin(kind):
  rng = random.Random(4)
  rows = records.random_records(kind, 400, 5)
  for row in rows:
    row.line_id.pre_actions[:] = rng.choices(range(6), k=rng.choice([0, 0, 1, 2]))
    row.line_id.actions[:] = rng.choices(range(6), k=rng.choice([0, 1, 2, 3]))
  outcomes = collections.Counter()
  for priority, weights in (
    ([2, 3], {2: (3, -1), 3: (2, 1), 4: (2, 0)}),
    ([3, 2, 1, 0], {1: (2, 1), 2: (1, 1), 3: (0, 1)}),
  ):
    text = ",".join(f"{a}:{w}:{label}" for a, (w, label) in weights.items())
    expected = []
    for row in rows:
      copies, labels = reweighted(row, priority, weights)
      outcomes[copies] += 1
      copy = type(row)()
      copy.CopyFrom(row)
      copy.label[:] = labels
      expected += [copy] * copies
    found = elements(source(rows, kind).instance_reweight(priority, text, kind), kind)
    assert found == expected
  assert len(outcomes) > 3 and outcomes[0] > 50


@pytest.mark.parametrize("kind", KINDS)
def test_reweights_of_the_description(kind):
  rows = [records.KINDS[kind](label=[5]) for _ in range(3)]
  rows[0].line_id.actions.append(2)
  rows[2].line_id.pre_actions.append(2)
  found = elements(InstanceReweightDataset(source(rows, kind), "2", "2:3:-1", kind), kind)
  assert [list(m.label) for m in found] == [[-1]] * 3 + [[5]]
  rows[0].line_id.pre_actions.append(3)
  found = elements(InstanceReweightDataset(source(rows, kind), "2,3", "2:3:-1,3:5:-1", kind), kind)
  assert [list(m.label) for m in found] == [[1]] * 2 + [[5]], "two taken back: the label is negated"


def test_types_come_from_the_source(tmp_path):
  rows = numbered("example", 4)
  path = tmp_path / "records"
  path.write_bytes(pb_records.stream(rows, sort_id=b""))
  dataset = FilePBDataset(str(path), input_pb_type=PbType.EXAMPLE)
  for behind in (dataset, dataset.filter(lambda v: fu.has_variant(v)).prefetch(2)):
    found = behind.transform(FilterByLabel([2]))
    assert found.output_pb_type is PbType.EXAMPLE and len(list(found)) == 2
    assert len(list(found.instance_reweight("1", "2:2:1,3:2:1"))) == 4
  with pytest.raises(ValueError, match="have no type that is known; give variant_type, 'instance' or 'example'"):
    source(rows, "example").transform(FilterByLabel([2]))
  with pytest.raises(tf.errors.InvalidArgumentError, match="TransformDataset: element 0 of the input holds Example"):
    list(dataset.transform(FilterByLabel([2]), variant_type="instance"))
  mixed = dataset.concatenate(FilePBDataset(str(path), input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.INSTANCE))
  with pytest.raises(ValueError, match="records are example and instance; give variant_type"):
    mixed.transform(FilterByLabel([2]))
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    dataset = FilePBDataset(str(path), input_pb_type=PbType.EXAMPLE)
    strings = dataset.interleave(tf.data.Dataset.from_tensors).transform(FilterByLabel([2])).map(tf.io.serialize_tensor)
    element = tf.compat.v1.data.make_one_shot_iterator(strings).get_next()
    for _ in range(2):
      assert b"Example" in session.run(element)
    with pytest.raises(tf.errors.OutOfRangeError):
      session.run(element)


def test_the_only_source_of_a_graph_gives_the_type(tmp_path):
  rows = numbered("example", 2)
  path = tmp_path / "records"
  path.write_bytes(pb_records.stream(rows, sort_id=b""))
  with tf.Graph().as_default():
    FilePBDataset(str(path), input_pb_type=PbType.EXAMPLE)
    assert source(rows, "example").transform(FilterByLabel([1])).output_pb_type is PbType.EXAMPLE
    FilePBDataset(str(path), input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.INSTANCE)
    with pytest.raises(ValueError, match="records are example and instance; give variant_type"):
      source(rows, "example").transform(FilterByLabel([1]))


def test_files_of_operands(tmp_path):
  path = tmp_path / "values"
  path.write_bytes(example_pb2.FilterValues(int64_list=example_pb2.Int64List(value=[1, 3])).SerializeToString())

  class FromFile(FilterByValue):
    def __init__(self, op, **settings):
      super().__init__("uid", op, 0)
      self._config.ClearField("int_operand")
      self._config.MergeFrom(type(self._config)(field_name="uid", op=op, **settings))

  dataset = source(numbered("example", 5), "example")
  for op, expected in (("in", [1, 3]), ("not-in", [0, 2, 4])):
    found = elements(dataset.transform(FromFile(op, operand_filepath=str(path)), "example"), "example")
    assert [m.line_id.uid for m in found] == expected
  for settings, words in (
    ({"operand_filepath": str(path), "int_operand": [1]}, "it stands in place of operands, for in and not-in"),
    ({"operand_filepath": str(tmp_path / "none")}, "none', which cannot be read: "),
    ({}, "compared by 'in' with 0 operands"),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
      dataset.transform(FromFile("in", **settings), "example")


def test_refusals():
  dataset = source(numbered("example", 2), "example")
  for call, words in (
    (
      lambda: dataset.batch(2).transform(FilterByLabel([1]), "example"),
      "not scalar records; use it before they are batched",
    ),
    (lambda: dataset.transform(len, "example"), "transform is <built-in function len>; use those of"),
    (
      lambda: dataset.transform(FilterByLabel([1]), "example_batch"),
      "variant_type is 'example_batch'; use 'instance' or",
    ),
    (lambda: dataset.instance_reweight("1,1x", "", "example"), "action_priority is '1,1x'; write integers"),
    (lambda: dataset.instance_reweight("1", "1:2", "example"), "reweight is '1:2'; write action:weight:label"),
  ):
    with pytest.raises(ValueError, match=words):
      call()
  for call, words in (
    (
      lambda: dataset.instance_reweight("1", "1:-2:1", "example"),
      "reweight has weight -2 for action 1; a weight is a num",
    ),
    (lambda: dataset.instance_reweight("1", "1:2:1,1:2:1", "example"), "reweight has action 1 twice"),
    (lambda: dataset.instance_reweight("1,1", "", "example"), "action_priority lists 1 twice"),
    (lambda: dataset.instance_reweight(range(1000), "", "example"), "lists 1000 actions; list fewer than 1000"),
    (
      lambda: dataset.transform(FilterByValue("uid", "any", 1), "example"),
      "op is 'any', but field 'uid' is a single value",
    ),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
      call()
  structure = {"output_types": [tf.variant], "output_shapes": [[]]}
  for config in (b"\xff", b"\x0a\x00"):
    with pytest.raises(
      tf.errors.InvalidArgumentError, match=r"TransformDataset: config .*by a transform's as_proto\(\)"
    ):
      gen_monolith_ops.transform_dataset(dataset._variant_tensor, config=config, variant_type="example", **structure)
  numbers = tf.data.Dataset.range(3)._variant_tensor
  broken = gen_monolith_ops.transform_dataset(numbers, config=b"", variant_type="example", **structure)
  spec = tf.data.DatasetSpec(tf.TensorSpec([], tf.variant))
  with pytest.raises(tf.errors.InvalidArgumentError, match="an element of the input is no scalar variant"):
    list(spec._from_components(broken))
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 0"):
    variant = tf.stack([tf.data.Dataset.range(2)._variant_tensor] * 2)
    gen_monolith_ops.transform_dataset(variant, config=b"", variant_type="example", **structure)


def test_copies_share_nothing_that_changes():
  """A changed copy leaves the other copies as they are."""
  row = example_pb2.Example(label=[0])
  row.line_id.actions.append(2)
  dataset = source([row], "example").instance_reweight("2", "2:3:5", "example").enumerate()

  def mark(i, v):
    return tf.cond(i == 1, lambda: fu.add_action(v, "rank", "eq", 0, 9), lambda: v)

  found = elements(dataset.map(mark), "example")
  assert [list(m.line_id.actions) for m in found] == [[2], [2, 9], [2]]
  assert np.ravel([list(m.label) for m in found]).tolist() == [5, 5, 5]
