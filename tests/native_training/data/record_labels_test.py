# SPDX-License-Identifier: Apache-2.0
"""Changes of labels and actions: the cases of their description, twins on messages, and what is refused."""

import collections
import math

import pytest
import records
from records import INVALID, messages, random_records, variants

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from idl.matrix.proto import example_pb2
from monolith.native_training.data import feature_utils as fu

KINDS = ("instance", "example")


def record(kind, labels=(), **line_id):
  message = records.KINDS[kind](label=labels)
  for name, value in line_id.items():
    if isinstance(value, list):
      getattr(message.line_id, name).extend(value)
    else:
      setattr(message.line_id, name, value)
  return message


def labels_after(change, rows, kind):
  return [list(m.label) for m in messages(change(variants(rows, kind)), kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_actions_are_appended(kind):
  rows = [record(kind, actions=[1]), record(kind, actions=[1], sample_rate=0.25), record(kind)]
  before = variants(rows, kind)
  after = messages(fu.add_action(before, "sample_rate", "ge", 0.5, 2, kind), kind)
  assert [list(m.line_id.actions) for m in after] == [[1, 2], [1], [2]]
  assert messages(before, kind) == rows
  after = messages(fu.add_action(before, "actions", "any", [1, 7], -5, kind), kind)
  assert [list(m.line_id.actions) for m in after] == [[1, -5], [1, -5], []]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_tasks(kind):
  rows = [record(kind, actions=actions) for actions in ([1, 2, 4], [1], [3, 4], [5])] * 100
  tf.random.set_seed(3)
  tensor = fu.add_label(variants(rows, kind), "1,2:3:1.0;4::0.5", -1.0, 0.25, kind)
  found = [tuple(m.label) for m in messages(tensor, kind)]
  seen = [collections.Counter(found[i::4]) for i in range(4)]
  assert seen[0] == {(1, 1): 100} and seen[2] == {(-1, 1): 100}
  assert set(seen[1]) == {(1, -1), (1, INVALID)} and set(seen[3]) == {(INVALID, -1), (INVALID, INVALID)}
  passed = int(np.sum(fu.filter_by_label(tensor, [-100, -100], variant_type=kind).numpy()))
  assert 340 <= passed <= 360
  assert all(m.line_id.sample_rate == 0.25 for m in messages(tensor, kind))


def test_labels_of_tasks_repeat_under_a_seed():
  many = variants([example_pb2.Example()] * 20000, "example")
  tf.random.set_seed(2)
  first = messages(fu.add_label(many, "4::0.3", 0.0, 1.0), "example")
  kept = np.mean([m.label[0] == 0 for m in first])
  assert abs(kept - 0.3) < 4 * math.sqrt(0.21 / 20000)
  tf.random.set_seed(2)
  assert messages(fu.add_label(many, "4::0.3", 0.0, 1.0), "example") == first
  for rate, label in ((0, INVALID), (1, 0.0)):
    found = messages(fu.add_label(many[:300], f"4::{rate}", 0.0, 1.0), "example")
    assert {m.label[0] for m in found} == {label}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_were_there(kind):
  rows = [record(kind, labels) for labels in ([0, 5], [-1], [0.5], [])]
  found = labels_after(lambda v: fu.add_label(v, "1:2:1", 0.0, 1.0, kind), rows, kind)
  assert found == [[INVALID, 5, INVALID], [INVALID, INVALID], [0.5, INVALID], [INVALID]]


@pytest.mark.parametrize("kind", KINDS)
def test_scatter(kind):
  rows = [
    record(kind, labels, chnid=chnid) for labels, chnid in (([2], 100), ([3], 200), ([2], 0), ([], 300), ([4, 9], 300))
  ]
  found = labels_after(lambda v: fu.scatter_label(v, "100:3,200:1,300:4", kind), rows, kind)
  expected = np.full((5, 5), INVALID, np.float32)
  expected[0, 3], expected[1, 1], expected[4, 4] = 2, 3, 4
  assert found == expected.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_heads(kind):
  heads = {"ios": 3, "wp": 1, "android": 4, "other": 0}
  samples = (("ios", [1, 2]), ("wp", [3]), ("android", [2]), ("ios", [1]), ("else", [1]), ("wp", []), ("wp", [8]))
  rows = [record(kind, device_type=device, actions=actions) for device, actions in samples]
  found = labels_after(
    lambda v: fu.multi_label_gen(v, heads, "device_type", [3, 2], [1], action_priority="4,3,2,1,0", variant_type=kind),
    rows,
    kind,
  )
  expected = np.full((7, 5), INVALID, np.float32)
  expected[0, 3], expected[1, 1], expected[2, 4], expected[3, 3] = 1, 1, 1, 0
  assert found == expected.tolist()


def test_heads_of_integers():
  rows = [record("example", [7, 8], chnid=5, uid=2**64 - 1, actions=[2, 1])]

  def after(*args, **kwargs):
    return labels_after(lambda v: fu.multi_label_gen(v, *args, **kwargs), rows, "example")[0]

  assert after({5: 1}, use_origin_label=True) == [INVALID, 7]
  assert after({2**64 - 1: 0}, "uid", use_origin_label=True, task_num=3) == [7, INVALID, INVALID]
  assert after({0: 0}, "is_draw", pos_actions=[2], pos_label=0.5) == [0.5], (
    "without priorities the first action decides"
  )
  assert after({5: 0}, pos_actions=[2], neg_actions=[1], neg_label=-2, action_priority=[1]) == [-2]


@pytest.mark.parametrize("kind", KINDS)
def test_bounds_and_methods(kind):
  rows = [record(kind, labels) for labels in ([0, 1], [0, 1, 9], [1], [])]
  found = labels_after(lambda v: fu.label_upper_bound(v, [0.5, 0.5], kind), rows, kind)
  assert found == [[0, 0.5], [0, 0.5, 9], [1], []]
  found = labels_after(lambda v: fu.label_normalization(v, ["scale", "repow"], [0.5, 3], kind), rows, kind)
  assert found == [[0, 8], [0, 8, 5832], [8], []]


@pytest.mark.parametrize("kind", KINDS)
def test_methods_as_the_twin(kind):
  def log(x):
    return math.log(x) if x > 0 else -math.inf

  twins = {
    "log": lambda x, v: log(max(x + v, 0)),
    "scale": lambda x, v: x / v,
    "scale2int": lambda x, v: float(int(x / v)),
    "pow": lambda x, v: (x + 1) ** v,
    "repow": lambda x, v: x**v if x > 0 else 0.0,
    "scalelog": lambda x, v: log(max(x / v + 1, 0)),
  }
  rows = random_records(kind, 60, 5)
  for method, twin in twins.items():
    for value in (2.0, 0.5):
      found = labels_after(lambda v, m=method, x=value: fu.label_normalization(v, [m], [x], kind), rows, kind)
      for before, after in zip(rows, found, strict=True):
        expected = [x if x == INVALID else twin(x, value) for x in before.label]
        np.testing.assert_allclose(after, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_fields_as_labels(kind):
  rows = [
    record(kind, [0, 1], rank=1),
    record(kind, [0, 0.5], rank=1),
    record(kind, [], rank=1),
    record(kind, [INVALID]),
  ]
  found = labels_after(lambda v: fu.use_field_as_label(v, "rank", variant_type=kind), rows, kind)
  assert found == [[1, 1], [1, 1], [], [0]]
  for threshold, expected in ((1.1, [1, 1]), (0.9, [0, 0.5])):
    found = labels_after(lambda v, t=threshold: fu.use_field_as_label(v, "rank", True, t, kind), rows, kind)
    assert found[1] == expected
  found = labels_after(lambda v: fu.use_field_as_label(v, "sample_rate", variant_type=kind), rows, kind)
  assert found[1] == [1, 1]
  ids = [record(kind, [0], uid=2**64 - 1)]
  assert labels_after(lambda v: fu.use_field_as_label(v, "uid", variant_type=kind), ids, kind) == [[2.0**64]]


@pytest.mark.parametrize("kind", KINDS)
def test_ranks(kind):
  rows = [record(kind, [5], is_draw=True, chnid=1, rank=17), record(kind, [], chnid=7, rank=40)]
  for flag, expected in (
    ("enable_draw_as_rank", [[5, 1], [0]]),
    ("enable_chnid_as_rank", [[5, 1], [2]]),
    ("enable_lineid_rank_as_rank", [[5, 17], [19]]),
  ):
    change = {flag: True, "rank_num": 20, "variant_type": kind}
    assert labels_after(lambda v, c=change: fu.fill_multi_rank_output(v, **c), rows, kind) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_everything_else_stays(kind):
  """Changes rewrite labels and LineId; all other fields, unknown ones too, are the same bytes."""
  rows = random_records(kind, 40, 6)
  unknown = records.field_bytes(900, b"kept")
  tensor = variants([m.SerializeToString() + unknown for m in rows], kind)
  tensor = fu.add_label(tensor, "1:2:0.5", 0.0, 0.5, kind)
  tensor = fu.add_action(tensor, "uid", "ge", 1, 9, kind)
  tensor = fu.scatter_label(tensor, "1:0,2:1", kind)
  for (_, data), before, after in zip(records.payloads(tensor), rows, messages(tensor, kind), strict=True):
    assert data.count(unknown) == 1
    assert after.line_id.sample_rate == 0.5 and len(after.label) == 2
    assert list(after.line_id.actions) == list(before.line_id.actions) + ([9] if before.line_id.uid else [])
    for m in (before, after):
      del m.label[:], m.line_id.actions[:]
      m.line_id.ClearField("sample_rate")
      m.DiscardUnknownFields()
    assert (after if before.HasField("line_id") else before) == after
    before.line_id.SetInParent()
    assert after == before


def test_graphs_and_datasets():
  serialized = [record("instance", [i], chnid=i % 2).SerializeToString() for i in range(6)]
  dataset = tf.data.Dataset.from_tensor_slices(serialized).map(lambda s: fu.string_to_variant(s, "instance"))
  dataset = dataset.map(lambda v: fu.scatter_label(v, "0:1,1:0", "instance")).batch(6)
  (batch,) = dataset
  expected = [[INVALID, i] if i % 2 == 0 else [i, INVALID] for i in range(6)]
  assert [list(m.label) for m in messages(batch, "instance")] == expected
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tensor = fu.label_upper_bound(fu.string_to_variant(serialized, "instance"), [2.0])
    proto = session.run(tf.io.serialize_tensor(tensor))
  assert b"Instance" in proto


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (lambda v: fu.add_action(v, "uid", "eq", [1, 2], 3), "compared by 'eq' with 2 operands; give 1"),
    (lambda v: fu.add_label(v, "", 0.0, 1.0), "AddLabel: config is empty; give pos_actions:neg_actions:sample_rate"),
    (lambda v: fu.add_label(v, "1:2", 0.0, 1.0), "config is '1:2': '1:2' is not pos_actions:neg_actions:sample_rate"),
    (lambda v: fu.add_label(v, ":2:1", 0.0, 1.0), "':2:1' has no positive action"),
    (lambda v: fu.add_label(v, "1:2:1.5", 0.0, 1.0), r"the rate 1.5 is not in \[0, 1\]"),
    (lambda v: fu.add_label(v, "1:x:1", 0.0, 1.0), "'x' is no integer"),
    (lambda v: fu.add_label(v, f"{2**31}:2:1", 0.0, 1.0), "action 2147483648 has more than 32 bits"),
    (lambda v: fu.add_label(v, "1:2:1", 0.0, 0.0), r"new_sample_rate is 0.000000; it must be in \(0, 1\]"),
    (lambda v: fu.add_label(v, "1:2:1", 0.0, 1.5), r"new_sample_rate is 1.500000; it must be in \(0, 1\]"),
    (lambda v: fu.scatter_label(v, ""), "ScatterLabel: config is '': give chnid:index for every channel"),
    (lambda v: fu.scatter_label(v, "1:-1"), r"head '1' has index -1; it must be in \[0, 65536\)"),
    (lambda v: fu.scatter_label(v, "1:1,1:2"), "head '1' is there twice"),
    (lambda v: fu.scatter_label(v, "1"), "'1' is not chnid:index"),
    (lambda v: fu.multi_label_gen(v, {}), "MultiLabelGen: head_to_index has 0 heads and 0 indices"),
    (
      lambda v: fu.multi_label_gen(v, {1: 1}, "actions", [1]),
      "head_field is 'actions'; use a field with one integer or one",
    ),
    (lambda v: fu.multi_label_gen(v, {1: 1}, "age", [1]), "head_field is 'age', which is not in line id"),
    (
      lambda v: fu.multi_label_gen(v, {1: 5}, pos_actions=[1], task_num=3),
      "task_num is 3, but head_to_index needs 6 labels",
    ),
    (
      lambda v: fu.multi_label_gen(v, {1: 5}, pos_actions=[1], neg_actions=[1]),
      "action 1 is in pos_actions and in neg_act",
    ),
    (
      lambda v: fu.multi_label_gen(v, {1: 5}),
      "pos_actions and neg_actions are empty; list actions, or set use_origin_label",
    ),
    (lambda v: fu.label_upper_bound(v, [], "example"), "LabelUpperBound: label_upper_bounds is empty"),
    (
      lambda v: fu.label_normalization(v, ["log"], [], "example"),
      "norm_methods has 1 methods and norm_values 0 values",
    ),
    (
      lambda v: fu.label_normalization(v, ["tanh"], [1], "example"),
      "norm_methods has 'tanh'; use log, scale, scale2int, pow",
    ),
    (
      lambda v: fu.label_normalization(v, ["scale"], [0], "example"),
      "norm_values has 0 for 'scale', which divides by it",
    ),
    (
      lambda v: fu.fill_multi_rank_output(v, variant_type="example"),
      "FillMultiRankOutput: set exactly one of enable_draw",
    ),
    (
      lambda v: fu.fill_multi_rank_output(v, True, rank_num=0, variant_type="example"),
      "rank_num is 0; it must be at least 1",
    ),
    (
      lambda v: fu.use_field_as_label(v, "cid", variant_type="example"),
      "UseFieldAsLabel: field_name is 'cid'; a label is",
    ),
    (lambda v: fu.use_field_as_label(v, "age", variant_type="example"), "field_name is 'age', which is not in line id"),
    (
      lambda v: fu.use_field_as_label(v, "rank"),
      "element 0 of the input holds Example, not Instance; say by variant_type",
    ),
    (lambda v: fu.scatter_label(v, "1:1", "example_batch"), "variant_type is ExampleBatch; use instance or example"),
  ],
)
def test_what_ops_refuse(call, words):
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    call(variants(example_pb2.Example(label=[1]), "example"))
