# SPDX-License-Identifier: Apache-2.0
"""Negatives made of positives and of items that were seen before."""

import collections

import pytest
import records
from records import INVALID, messages

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training.data import feature_utils as fu
from monolith.native_training.data.datasets import NegativeGenDataset
from monolith.native_training.runtime.ops import gen_monolith_ops

KINDS = ("instance", "example")


def sample(kind, user, item, label=1.0, actions=(), channel=None):
  """A sample with the user's fid in slot 1, the item's in 2 and 4, the channel's in 3."""
  message = records.KINDS[kind](label=[label, 7.0])
  message.line_id.item_id = item
  message.line_id.uid = user
  message.line_id.actions.extend(actions)
  sides = {1: [user], 2: [item], 4: [item, item + 1], 3: [] if channel is None else [channel]}
  if kind == "instance":
    message.fid.extend(slot << 54 | fid for slot, fids in sides.items() for fid in fids)
    message.feature.add(name="dense", float_value=[user])
  else:
    for slot, fids in sides.items():
      message.named_feature.add(name=str(slot), id=slot).feature.fid_v2_list.value.extend(fids)
    message.data_source_key = 5
  return message


def sides(message):
  """Fids by slot, without the slot's bits."""
  found = collections.defaultdict(list)
  if isinstance(message, proto_parser_pb2.Instance):
    for fid in message.fid:
      found[fid >> 54].append(fid & (2**54 - 1))
  else:
    for column in message.named_feature:
      found[int(column.name)] += column.feature.fid_v2_list.value
  return found


def source(rows, kind):
  serialized = [row.SerializeToString() for row in rows]
  return tf.data.Dataset.from_tensor_slices(serialized).map(lambda s: fu.string_to_variant(s, kind))


def generate(rows, kind, neg_num, **arguments):
  arguments = {"item_features": [2, 4], "start_num": 0, "variant_type": kind, **arguments}
  return [messages(v, kind)[0] for v in NegativeGenDataset(source(rows, kind), neg_num, **arguments)]


def made(found):
  return [m for m in found if m.label[0] == -1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_positive_may_draw_itself(kind):
  rows = [sample(kind, 1, 10), sample(kind, 2, 20, label=0.0), sample(kind, 3, 30)]
  found = generate(rows, kind, 2, max_item_num=1)
  assert [m.label[0] for m in found] == [-1, -1, 1, 0, -1, -1, 1], "negatives come before their positive"
  assert [m.line_id.item_id for m in made(found)] == [10, 10, 30, 30]
  weights = [m.instance_weight for m in found]
  assert weights == [3, 2, 1, 1, 3, 2, 1], "1 + 2 / times drawn; what was there weighs 1"
  negative = made(found)[0]
  assert list(negative.label) == [-1, 7] and dict(sides(negative)) == dict(sides(rows[0]))
  if kind == "instance":
    assert negative.feature == rows[0].feature
  else:
    assert negative.data_source_key == 0, "a made Example keeps columns, LineId and labels alone"


@pytest.mark.parametrize("kind", KINDS)
def test_sides(kind):
  rows = [sample(kind, user, 100 + user % 7, actions=[1, 2]) for user in range(60)]
  tf.random.set_seed(1)
  found = generate(rows, kind, 3, negative_action=-4)
  assert len(made(found)) == 180 and len(found) == 240
  positives = [m for m in found if m.label[0] == 1]
  assert [m.line_id.uid for m in positives] == list(range(60))
  for index, negative in enumerate(made(found)):
    positive = rows[index // 3]
    item = negative.line_id.item_id
    expected = sides(sample(kind, positive.line_id.uid, item))
    assert {slot: sides(negative)[slot] for slot in (1, 2, 4)} == {slot: expected[slot] for slot in (1, 2, 4)}
    assert negative.line_id.uid == positive.line_id.uid and list(negative.line_id.actions) == [-4]
  seen = collections.Counter(m.line_id.item_id for m in made(found)[60:])
  assert set(seen) == set(range(100, 107))


def test_items_are_drawn_alike():
  rows = [sample("example", user, 100 + user % 4) for user in range(1000)]
  tf.random.set_seed(2)
  counts = collections.Counter(m.line_id.item_id for m in made(generate(rows, "example", 4)))
  assert all(abs(count - 1000) < 5 * np.sqrt(750) for count in counts.values()) and len(counts) == 4


def test_draws_repeat_under_a_seed():
  rows = [sample("example", user, user) for user in range(50)]

  def items(seed):
    tf.random.set_seed(seed)
    return [m.line_id.item_id for m in made(generate(rows, "example", 2))]

  assert items(3) == items(3) != items(4)


def test_a_channel_has_to_fill_up():
  rows = [sample("example", 1, item) for item in (5, 5, 6, 7, 8)]
  found = generate(rows, "example", 1, start_num=2)
  assert [m.label[0] for m in found] == [1, 1, 1, -1, 1, -1, 1], "distinct items count"


@pytest.mark.parametrize("kind", KINDS)
def test_channels(kind):
  rows = [sample(kind, i, i, channel=9 if i % 2 else 8) for i in range(40)] + [sample(kind, 99, 99)]
  if kind == "instance":
    rows[-1].ClearField("fid")
  tf.random.set_seed(5)
  own = generate(rows, kind, 2, per_channel=True, channel_feature="3")
  assert all(m.line_id.item_id % 2 == m.line_id.uid % 2 for m in made(own)) and len(made(own)) == 80
  other = generate(rows, kind, 2, per_channel=True, channel_feature="3", easy_hard_ratio=1.0)
  mixed = [m.line_id.item_id % 2 != m.line_id.uid % 2 for m in made(other) if m.line_id.uid > 5]
  assert 0.3 < np.mean(mixed) < 0.7
  assert 99 not in {m.line_id.item_id for m in made(other)}, "a sample without a channel gives no item"


def test_channels_of_instances_are_in_slot_3():
  rows = [sample("instance", i, i, channel=i % 2 + 1) for i in range(10)]
  found = generate(rows, "instance", 1, per_channel=True)
  assert all(m.line_id.item_id % 2 == m.line_id.uid % 2 for m in made(found))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_positive(kind):
  rows = [sample(kind, i, i, label=0.0, actions=actions) for i, actions in enumerate(([1, 2], [2, 1], [3, 1], [], [4]))]
  positives = [m.line_id.uid for m in made(generate(rows, kind, 1, positive_actions=[1]))]
  assert positives == [0], "the first action"
  found = generate(rows, kind, 1, positive_actions=[1], action_priority="1,2")
  assert [m.line_id.uid for m in made(found)] == [0, 1, 2], "the best action"
  assert [m.line_id.uid for m in made(generate(rows, kind, 1, positive_label=7.0, label_index=0))] == []
  second = generate(rows, kind, 1, positive_label=7.0, label_index=1, negative_label=-2)
  assert [list(m.label) for m in second if m.label[1] == -2] == [[0, -2]] * 5
  bare = [type(rows[0])(line_id=rows[0].line_id)]
  assert [list(m.label) for m in generate(bare, kind, 1, positive_actions=[1], label_index=1)] == [[INVALID, -1], []]


@pytest.mark.parametrize("kind", KINDS)
def test_which_items_enter(kind):
  rows = [sample(kind, 1, 10, 0.0, [5]), sample(kind, 2, 20, 0.0, [6]), *[sample(kind, 3, 30)] * 60]

  def items(**arguments):
    return {m.line_id.item_id for m in made(generate(rows, kind, 1, **arguments))}

  assert items() == {30}
  assert items(cache_only_pos=False) == {10, 20, 30}
  assert items(cache_only_pos=False, origin_neg_in_pool_proba=0.0) == {30}
  assert items(cache_negative_actions=[6]) == {20, 30}
  own = source(rows, kind).negative_gen(1, item_features=[2], start_num=0, variant_type=kind)
  assert {m.line_id.item_id for v in own for m in messages(v, kind) if m.label[0] == -1} == {10, 20, 30}


def test_what_is_thrown_away():
  rows = [sample("example", 1, 10), sample("example", 2, 20, 0.0)]

  def labels(**arguments):
    return [(m.label[0], m.instance_weight) for m in generate(rows, "example", 1, **arguments)]

  assert labels(real_neg_instance_weight=0.25) == [(-1, 2), (1, 1), (0, 0.25)]
  assert labels(throw_origin_neg=True) == [(-1, 2), (1, 1)]
  assert labels(throw_origin=True) == [(-1, 2)]
  assert labels(throw_origin=True, sampled_neg_instance_weight=0.5) == [(-1, 0.5)]
  assert labels(throw_origin=True, unbias_sampled_neg=False) == [(-1, 1)]


def test_weights_of_places():
  rows = [sample("example", user, user) for user in range(3)]
  pool = fu.create_item_pool(0, 10)
  generate(rows, "example", 0, pool=pool)
  tf.random.set_seed(1)
  found = made(generate(rows[2:], "example", 50, pool=pool, neg_sample_declay_factor=2.0))
  times = collections.Counter()
  for negative in found:
    times[negative.line_id.item_id] += 1
    expected = 1 + 50 * ((negative.line_id.item_id + 1) / 3) ** 2 / times[negative.line_id.item_id]
    np.testing.assert_allclose(negative.instance_weight, expected, rtol=1e-6)


def test_ids_of_a_feature_and_new_features():
  first, second = sample("example", 1, 10), sample("example", 2, 11)
  second.named_feature[1].feature.fid_v2_list.value[:] = [10]  # the same item, described otherwise
  found = made(generate([first, second], "example", 1, index_feature="2"))
  assert [m.line_id.item_id for m in found] == [10, 10]
  assert [sides(m)[4] for m in found] == [[10, 11], [11, 12]]


def test_in_a_session_and_the_collection():
  serialized = [sample("example", 1, 10).SerializeToString()]
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    dataset = tf.data.Dataset.from_tensor_slices(serialized).map(fu.string_to_variant)
    dataset = NegativeGenDataset(dataset, 2, start_num=0).map(tf.io.serialize_tensor)
    assert tf.compat.v1.get_collection("TF_ITEMPOOL") and dataset.element_spec.dtype == tf.string
    iterator = tf.compat.v1.data.make_initializable_iterator(dataset)
    element = iterator.get_next()
    session.run(iterator.initializer)
    for _ in range(3):
      assert b"Example" in session.run(element)
    with pytest.raises(tf.errors.OutOfRangeError):
      session.run(element)


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"neg_num": -1}, "neg_num is -1; it must be at least 0"),
    ({"label_index": -1}, "label_index is -1; it must be at least 0"),
    ({"per_channel": True}, "per_channel is set, but channel_feature is empty"),
    ({"origin_neg_in_pool_proba": 1.5}, r"origin_neg_in_pool_proba is 1.500000; it must be in \[0, 1\]"),
    ({"easy_hard_ratio": -1.0}, r"easy_hard_ratio is -1.000000; it must be in"),
    ({"positive_actions": [1], "cache_negative_actions": [1]}, "action 1 is in positive_actions and in cache_negative"),
    ({"action_priority": [1, 1]}, "action_priority lists 1 twice"),
    ({"negative_action": 2**40}, "negative_action is 1099511627776; an action has 32 bits"),
    ({"item_features": ["x"], "variant_type": "instance"}, "a feature of an Instance is 'x': 'x' is no integer"),
    ({"item_features": [1024], "variant_type": "instance"}, r"'1024': its slots are in \[0, 1024\)"),
    ({"index_feature": "x", "variant_type": "instance"}, "'x' is no integer"),
    ({"start_num": -1}, "ItemPoolCreate: start_num is -1"),
    ({"max_item_num": 0}, "ItemPoolCreate: max_item_num_per_channel is 0; it must be at least 1"),
  ],
)
def test_refusals(arguments, words):
  dataset = source([example_pb2.Example()], "example")
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    NegativeGenDataset(dataset, **{"neg_num": 1, **arguments})


def test_a_handle_of_something_else():
  dataset = source([example_pb2.Example()], "example")
  other = gen_monolith_ops.monolith_touched_key_set(shared_name="no_pool")
  with pytest.raises(tf.errors.InvalidArgumentError):
    NegativeGenDataset(dataset, 1, pool=other)
