# SPDX-License-Identifier: Apache-2.0
"""Filters of records: the cases of their description, twins on messages, and what is refused."""

import operator

import pytest
import records
from records import messages, random_records, variants

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training.data import feature_utils as fu
from monolith.native_training.runtime.ops import gen_monolith_ops

KINDS = ("instance", "example")


def v1(slot, signature):
  return slot << 54 | signature


def v2(slot, signature):
  return slot << 48 | signature


def record(kind, labels=(), **line_id):
  message = records.KINDS[kind](label=labels)
  for name, value in line_id.items():
    if isinstance(value, list):
      getattr(message.line_id, name).extend(value)
    else:
      setattr(message.line_id, name, value)
  return message


def kept(keep):
  return keep.numpy().tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_sets(kind):
  a, b, c = v1(1, 1), v1(2, 2), v1(3, 2**54 - 1)
  message = record(kind, actions=[-1, 1], req_time=1000)
  if kind == "instance":
    message.fid.extend([a, b, c])
  else:
    message.named_feature.add(name="x").feature.fid_v1_list.value.extend([a, b])
    message.named_feature.add(name="y").feature.fid_v1_list.value.append(c)
  one = variants(message, kind)

  def keep(**arguments):
    return bool(fu.filter_by_fids(one, variant_type=kind, **arguments))

  assert keep() and keep(req_time_min=1000) and not keep(req_time_min=1001)
  assert not keep(filter_fids=[a]) and keep(filter_fids=[7])
  assert keep(has_fids=[a]) and keep(has_fids=[7, c]) and not keep(has_fids=[7])
  assert keep(select_fids=[a, b]) and keep(select_fids=[a, a]) and not keep(select_fids=[a, 7])
  assert keep(has_actions=[1, 5]) and keep(has_actions=[-1]) and not keep(has_actions=[5])
  assert not keep(has_fids=[a], req_time_min=2**40)


def test_slots_of_both_versions():
  instance = proto_parser_pb2.Instance(fid=[v1(2, 1), v1(3, 1)])
  instance.feature.add(name="x", fid=[v2(1024, 1)])
  instance.feature.add(name="y").fid_list.add(value=[v2(4096, 1)])
  example = example_pb2.Example()
  example.named_feature.add(name="x").feature.fid_v1_list.value.extend([v1(2, 1), v1(3, 1)])
  example.named_feature.add(name="y").feature.fid_v2_list.value.extend([v2(1024, 1), v2(4096, 1)])
  for kind, message in (("instance", instance), ("example", example)):
    for slots, expected in (([2, 3, 1024, 4096], True), ([2, 10], False), ([], True)):
      assert bool(fu.filter_by_fids(variants(message, kind), select_slots=slots, variant_type=kind)) is expected
  # Fids of an Instance are those of its field `fid` alone.
  assert not fu.filter_by_fids(variants(instance, "instance"), has_fids=[v2(1024, 1)])


def test_high_fids():
  instance = proto_parser_pb2.Instance(fid=[2**64 - 1])
  for fid in (2**64 - 1, -1):
    assert fu.filter_by_fids(variants(instance, "instance"), has_fids=[fid])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
  ("field", "op", "operand", "expected"),
  [
    ("uid", "eq", 2, True), ("uid", "neq", 2, False), ("uid", "le", 3, True), ("uid", "ge", 1, True),
    ("uid", "gt", 2, False), ("uid", "lt", 2, False), ("uid", "between", [1, 3], True),
    ("uid", "between", [0, 2], False),
    ("uid", "in", [3, 1, 2], True), ("uid", "not-in", [1, 2, 3], False), ("uid", "lt", 2**64 - 1, True),
    ("chnid", "between", [0, 1], False), ("chnid", "between", [1, 2], True), ("rank", "gt", -5, True),
    ("user_id", "le", "hello1", True), ("user_id", "ge", "hell", True), ("user_id", "startswith", "hell", True),
    ("user_id", "endswith", ["x", "llo"], True), ("user_id", "startswith", "hello!", False),
    ("user_id", "in", ["a", b"hello"], True), ("user_id", "between", ["hell", "hello"], False),
    ("sample_rate", "eq", 1.0, True), ("sample_rate", "in", [0.5, 1], True), ("is_draw", "eq", 1, True),
    ("actions", "any", [1, 2], True), ("actions", "any", [1, 4], False), ("actions", "all", [3, 2], True),
    ("actions", "all", [2, 3, 4], False), ("actions", "diff", [4, 1], True), ("actions", "diff", [1, 2, 4], False),
    ("special_strategies", "any", [9], True),
  ],
)  # fmt: skip
def test_values(kind, field, op, operand, expected):
  message = record(kind, uid=2, user_id="hello", chnid=1, actions=[3, 2], special_strategies=[9], is_draw=True)
  assert bool(fu.filter_by_value(variants(message, kind), field, op, operand, kind)) is expected


def test_empty_lists():
  empty = variants(record("instance"), "instance")
  for op in ("any", "all", "diff"):
    assert [bool(fu.filter_by_value(empty, "actions", op, [1], keep_empty=keep)) for keep in (False, True)] == [
      False, True,
    ]  # fmt: skip


def column(kind, *values, name="x"):
  example = example_pb2.Example()
  getattr(example.named_feature.add(name=name).feature, kind).value.extend(values)
  return example


def test_columns():
  lists = [column("int64_list", *values) for values in ([10], [20, 30], [30, 666, 20], [40], [666])]
  keep = fu.filter_by_feature_value(variants(lists, "example"), "x", "all", [666, 20, 30], "int64")
  assert kept(keep) == [False, False, True, False, False]
  texts = [column("bytes_list", text) for text in (b"abckjhfjh", b"kjhfjh", b"huggfyfixyz", b"")]
  keep = fu.filter_by_feature_value(variants(texts, "example"), "x", "endswith", ["kjhfjh", "huggfyfi"], "bytes")
  assert kept(keep) == [True, True, False, False]
  for kind, field_type in (("float_list", "float"), ("double_list", "double")):
    keep = fu.filter_by_feature_value(
      variants([column(kind, 0.1), column(kind, 2.0)], "example"), "x", "eq", 0.1, field_type
    )
    assert kept(keep) == [True, False]


def test_columns_that_do_not_fit():
  odd = [example_pb2.Example(), column("float_list", 1.0), column("int64_list", 1, 1), column("int64_list")]
  for keep_empty in (False, True):
    for op in ("eq", "in"):
      keep = fu.filter_by_feature_value(variants(odd, "example"), "x", op, [1], "int64", keep_empty)
      assert kept(keep) == [keep_empty] * 4
    keep = fu.filter_by_feature_value(variants(odd, "example"), "x", "any", [1], "int64", keep_empty)
    assert kept(keep) == [keep_empty, keep_empty, True, keep_empty]


def test_files_of_operands(tmp_path):
  def file(**kwargs):
    path = tmp_path / "-".join(kwargs)
    path.write_bytes(example_pb2.FilterValues(**kwargs).SerializeToString())
    return str(path)

  ints = file(int64_list=example_pb2.Int64List(value=[20, 30, 666]))
  rows = variants([column("int64_list", value) for value in (10, 20, 30, 40, 666)], "example")
  for op, expected in (("in", [False, True, True, False, True]), ("not-in", [True, False, False, True, False])):
    assert kept(fu.filter_by_feature_value(rows, "x", op, None, "int64", operand_filepath=ints)) == expected
  one = variants(record("instance", uid=30, user_id="b", sample_rate=0.5), "instance")
  assert fu.filter_by_value(one, "uid", "in", None, operand_filepath=ints)
  with pytest.raises(tf.errors.InvalidArgumentError, match="ValueFilter: operand_filepath is .* has int64_list, but"):
    fu.filter_by_value(one, "user_id", "in", None, operand_filepath=ints)
  with pytest.raises(tf.errors.InvalidArgumentError, match="op is 'eq'; a file gives a set, for in and not-in"):
    fu.filter_by_value(one, "uid", "eq", None, operand_filepath=ints)
  texts = file(bytes_list=example_pb2.BytesList(value=[b"a", b"b"]))
  assert fu.filter_by_value(one, "user_id", "in", None, operand_filepath=texts)
  floats = file(float_list=example_pb2.FloatList(value=[0.5]))
  assert fu.filter_by_value(one, "sample_rate", "in", None, operand_filepath=floats)
  (tmp_path / "damaged").write_bytes(b"\xff")
  with pytest.raises(tf.errors.InvalidArgumentError, match="the file holds no serialized FilterValues"):
    fu.filter_by_value(one, "uid", "in", None, operand_filepath=str(tmp_path / "damaged"))
  with pytest.raises(tf.errors.NotFoundError, match="ValueFilter: .*nothing"):
    fu.filter_by_value(one, "uid", "in", None, operand_filepath=str(tmp_path / "nothing"))


def test_labels():
  rows = variants(
    [example_pb2.Example(label=label) for label in ([0, 1], [0, 2], [-1, 0.5], [1], [], [0, 1, 9])], "example"
  )
  assert kept(fu.filter_by_label(rows, [0, 1])) == [True, True, False, False, False, True]
  assert kept(fu.filter_by_label(rows, [0, 1], filter_equal=True)) == [False, True, False, False, False, False]


def test_has_variant():
  for kind in ("instance", "example", "example_batch"):
    message = records.KINDS[kind](data_source_key=1)
    assert kept(fu.has_variant(variants([b"", message], kind), kind)) == [False, True]


PRIORITY, RATES = "2,3,4,1,5,6", "1:1,2:0,3:1,4:.5,5:.22"


@pytest.mark.parametrize("kind", KINDS)
def test_negatives_with_certain_rates(kind):
  for actions, labels, expected in (([1, 2, 4, 5], [0], True), ([1, 3, 5], [0], False), ([1, 3, 5], [1], True)):
    one = variants(record(kind, labels, actions=actions), kind)
    for _ in range(20):
      assert bool(fu.negative_sample(one, 0.88, 0, 0.5, kind, PRIORITY, RATES)) is expected


@pytest.mark.parametrize(("actions", "dropped"), [([5, 6], 0.22), ([6], 0.88), ([10, 11, 12], 0.88), ([4], 0.5)])
def test_rates_of_negatives(actions, dropped):
  n = 20000
  many = variants([record("instance", [0], actions=actions)] * n, "instance")
  tf.random.set_seed(5)
  first = kept(fu.negative_sample(many, 0.88, 0, 0.5, "instance", PRIORITY, RATES))
  assert abs(1 - np.mean(first) - dropped) < 4 * np.sqrt(dropped * (1 - dropped) / n)
  tf.random.set_seed(5)
  assert kept(fu.negative_sample(many, 0.88, 0, 0.5, "instance", PRIORITY, RATES)) == first
  assert kept(fu.negative_sample(many, 0.88, 0, 0.5, "instance", PRIORITY, RATES)) != first


def test_seeds_of_graphs_and_datasets():
  serialized = [record("example", [0]).SerializeToString()] * 200

  def run():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      tf.compat.v1.set_random_seed(3)
      return session.run(fu.negative_sample(fu.string_to_variant(serialized), 0.5, 0, 0.5, "example")).tolist()

  def iterate(seed):
    tf.random.set_seed(seed)
    dataset = tf.data.Dataset.from_tensor_slices(serialized).enumerate()
    dataset = dataset.filter(lambda _, s: fu.negative_sample(fu.string_to_variant(s), 0.5, 0, 0.5, "example"))
    return [int(i) for i, _ in dataset]

  assert run() == run() and 60 < sum(run()) < 140
  assert iterate(3) == iterate(3) != iterate(4)
  op_seed = [fu.negative_sample(fu.string_to_variant(serialized), 0.5, 0, 0.5, "example", seed=seed) for seed in (1, 2)]
  assert kept(op_seed[0]) != kept(op_seed[1])


@pytest.mark.parametrize("kind", KINDS)
def test_strategies(kind):
  def keep(strategies, conf, **arguments):
    one = variants(record(kind, special_strategies=strategies), kind)
    return bool(fu.special_strategy(one, [7, 8, 9], conf, kind, **arguments))

  for _ in range(10):
    assert keep([7], None) and keep([1, 7], "8:0") and not keep([8], "8:0") and keep([8], "8:1")
    assert keep([8, 7], "8:0"), "the list's order counts, not the record's"
    assert not keep([1, 2], None)
    assert keep([], None) and not keep([], None, keep_empty_strategy=False)


def test_rates_of_strategies():
  n = 20000
  many = variants([record("instance", special_strategies=[7])] * n, "instance")
  tf.random.set_seed(8)
  first = kept(fu.special_strategy(many, "7", "7:0.3"))
  assert abs(np.mean(first) - 0.3) < 4 * np.sqrt(0.21 / n)
  tf.random.set_seed(8)
  assert kept(fu.special_strategy(many, "7", "7:0.3")) == first


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_strategies(kind):
  rows = [record(kind, labels, special_strategies=s) for labels, s in (([1, 2], [7]), ([], [7]), ([1], [8]), ([1], []))]
  before = variants(rows, kind)
  after = messages(fu.special_strategy_label(before, [7, 8], "7:0.5:-3,8:1", kind), kind)
  assert [list(m.label) for m in after] == [[-3, 2], [-3], [1], [1]]
  assert messages(before, kind) == rows, "what an op gets stays as it is"


def test_in_a_pipeline():
  examples = [record("example", [i], uid=i, actions=[i % 3]) for i in range(30)]
  dataset = tf.data.Dataset.from_tensor_slices([e.SerializeToString() for e in examples]).map(fu.string_to_variant)
  dataset = dataset.filter(lambda v: fu.filter_by_value(v, "uid", "ge", 10, "example"))
  dataset = dataset.filter(lambda v: fu.filter_by_fids(v, has_actions=[2], variant_type="example"))
  dataset = dataset.map(lambda v: fu.add_action(v, "uid", "ge", 20, 9), num_parallel_calls=4)
  found = [messages(v, "example")[0] for v in dataset]
  assert [m.line_id.uid for m in found] == [11, 14, 17, 20, 23, 26, 29]
  assert [9 in m.line_id.actions for m in found] == [False] * 3 + [True] * 4
  matrix = tf.reshape(fu.string_to_variant([e.SerializeToString() for e in examples]), [5, 6])
  assert kept(fu.filter_by_value(matrix, "uid", "lt", 6, "example")) == [[True] * 6] + [[False] * 6] * 4


COMPARE = {"gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "lt": operator.lt, "le": operator.le,
           "neq": operator.ne}  # fmt: skip


def compares(op, value, operands):
  """The twin of a comparison."""
  if op in COMPARE:
    return COMPARE[op](value, operands[0])
  if op == "between":
    return operands[0] <= value < operands[1]
  if op in ("startswith", "endswith"):
    return any(getattr(value, op)(operand) for operand in operands)
  return (value in operands) == (op == "in")


def compares_lists(op, values, operands):
  if op == "all":
    return set(operands) <= set(values)
  return bool(set(operands) & set(values)) == (op == "any")


@pytest.mark.parametrize("kind", KINDS)
def test_values_as_the_twin(kind):
  rows = random_records(kind, 200, 1)
  tensor = variants(rows, kind)
  tests = [("uid", "gt", [1]), ("uid", "le", [2**63 + 1]), ("uid", "in", [2, 2**64 - 1]),
           ("req_time", "between", [-1, 2]),
           ("rank", "lt", [5]), ("chnid", "neq", [2]), ("sample_rate", "ge", [0.5]), ("sample_rate", "not-in", [0.25]),
           ("device_type", "eq", ["phone"]), ("device_type", "lt", ["q"]), ("device_type", "endswith", ["t", "x"]),
           ("device_type", "not-in", ["", "phone"]), ("is_draw", "eq", [1])]  # fmt: skip
  for field, op, operands in tests:
    expected = [compares(op, getattr(m.line_id, field), operands) for m in rows]
    assert kept(fu.filter_by_value(tensor, field, op, operands, kind)) == expected, (field, op)
    assert 0 < sum(expected) < len(rows)
  for field in ("actions", "pre_actions", "special_strategies"):
    for op in ("any", "all", "diff"):
      for keep_empty in (False, True):
        values = [list(getattr(m.line_id, field)) for m in rows]
        expected = [compares_lists(op, v, [3, 1]) if v else keep_empty for v in values]
        assert kept(fu.filter_by_value(tensor, field, op, [3, 1], kind, keep_empty)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_sets_as_the_twin(kind):
  rows = random_records(kind, 300, 2)

  def fids_and_slots(m):
    if kind == "instance":
      named = [fid for f in m.feature for fid in [*f.fid, *(v for one in f.fid_list for v in one.value)]]
      return set(m.fid), {fid >> 54 for fid in m.fid} | {fid >> 48 & 0x7FFF for fid in named}
    old = {fid for f in m.named_feature for fid in f.feature.fid_v1_list.value}
    new = {fid for f in m.named_feature for fid in f.feature.fid_v2_list.value}
    return old | new, {fid >> 54 for fid in old} | {fid >> 48 for fid in new}

  a, b, c = v1(1, 1), v1(2, 0), v2(3, 1)
  for arguments in (
    {"filter_fids": [a, c]}, {"has_fids": [a, b, c]}, {"select_fids": [a]}, {"has_actions": [0, 5]},
    {"req_time_min": 1},
    {"select_slots": [1, 2]}, {"filter_fids": [b], "has_actions": [1, 2], "select_slots": [3], "req_time_min": -1},
  ):  # fmt: skip
    expected = []
    for m in rows:
      fids, slots = fids_and_slots(m)
      wanted = {name: set(value) for name, value in arguments.items() if name != "req_time_min"}
      expected.append(
        (m.line_id.req_time >= arguments["req_time_min"] if "req_time_min" in arguments else True)
        and not fids & wanted.get("filter_fids", set())
        and ("has_fids" not in wanted or bool(fids & wanted["has_fids"]))
        and wanted.get("select_fids", set()) <= fids
        and wanted.get("select_slots", set()) <= slots
        and ("has_actions" not in wanted or bool(set(m.line_id.actions) & wanted["has_actions"]))
      )
    assert kept(fu.filter_by_fids(variants(rows, kind), variant_type=kind, **arguments)) == expected, arguments
    assert 0 < sum(expected) < len(rows), arguments


def test_columns_as_the_twin():
  rows = random_records("example", 300, 3)
  tests = [("int64", "int64_list", "ge", [2]), ("float", "float_list", "lt", [1.0]),
           ("double", "double_list", "gt", [0.5]),
           ("bytes", "bytes_list", "startswith", [b"ab"]), ("bytes", "bytes_list", "in", [b"", b"xab"])]  # fmt: skip
  for name in "abc":
    for field_type, kind, op, operands in tests:
      for keep_empty in (False, True):
        expected = []
        for m in rows:
          found = [f.feature for f in m.named_feature if f.name == name and f.feature.WhichOneof("type") == kind]
          values = list(getattr(found[0], kind).value) if found else []
          expected.append(compares(op, values[0], operands) if len(values) == 1 else keep_empty)
        tensor = variants(rows, "example")
        assert kept(fu.filter_by_feature_value(tensor, name, op, operands, field_type, keep_empty)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_labels_as_the_twin(kind):
  rows = random_records(kind, 200, 4)
  for thresholds in ([0.5], [0.0, 1.0]):
    for equal in (False, True):
      compare = operator.gt if equal else operator.ge
      expected = [len(m.label) >= len(thresholds) and any(map(compare, m.label, thresholds)) for m in rows]
      assert kept(fu.filter_by_label(variants(rows, kind), thresholds, equal, kind)) == expected


def test_what_python_refuses():
  one = variants(record("instance"), "instance")
  with pytest.raises(ValueError, match="field_name is 'age', which is not in line id; it has uid"):
    fu.filter_by_value(one, "age", "eq", 1)
  with pytest.raises(ValueError, match="give exactly one of them"):
    fu.filter_by_value(one, "uid", "in", [1], operand_filepath="x")
  with pytest.raises(ValueError, match="give exactly one of them"):
    fu.filter_by_value(one, "uid", "in", None)
  with pytest.raises(ValueError, match="operand 'a' is no int"):
    fu.filter_by_value(one, "uid", "eq", "a")
  with pytest.raises(ValueError, match="operand 1.5 is no int"):
    fu.filter_by_value(one, "uid", "eq", 1.5)
  with pytest.raises(ValueError, match="field_type is 'int'; use one of int64, float, double, bytes"):
    fu.filter_by_feature_value(one, "x", "eq", 1, "int")
  with pytest.raises(ValueError, match="filter_fids has 18446744073709551616; a fid has 64 bits"):
    fu.filter_by_fids(one, [2**64])
  with pytest.raises(ValueError, match="action_priority is '1,x'; write integers"):
    fu.negative_sample(one, 0.5, action_priority="1,x")
  with pytest.raises(ValueError, match="map the records that are kept with special_strategy_label"):
    fu.special_strategy(one, [7], "7:0.5:1")


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (
      lambda v: fu.filter_by_fids(v, select_slots=[32768]),
      r"SetFilter: select_slots has 32768; slots are in \[0, 32768\)",
    ),
    (lambda v: fu.filter_by_fids(v, variant_type="example_batch"), "SetFilter: variant_type is ExampleBatch; use inst"),
    (lambda v: fu.filter_by_fids(v, variant_type="batch"), "SetFilter: variant_type: 'batch' is no type of message"),
    (
      lambda v: fu.filter_by_fids(v, variant_type="example"),
      "SetFilter: element 0 of the input holds Instance, not Exam",
    ),
    (lambda v: fu.filter_by_value(v, "uid", "is", 1), "ValueFilter: op is 'is', for field 'uid'; use one of gt, ge"),
    (lambda v: fu.filter_by_value(v, "uid", "any", 1), "op is 'any', but field 'uid' is a single value"),
    (
      lambda v: fu.filter_by_value(v, "actions", "eq", 1),
      "field 'actions' is a list of integers; use any, all or diff",
    ),
    (lambda v: fu.filter_by_value(v, "uid", "startswith", 1), "op is 'startswith', but field 'uid' is no string"),
    (lambda v: fu.filter_by_value(v, "uid", "between", 1), "compared by 'between' with 1 operands; give 2"),
    (lambda v: fu.filter_by_value(v, "uid", "in", []), "compared by 'in' with 0 operands; give at least one"),
    (lambda v: fu.filter_by_value(v, "sample_rate", "eq", float("nan")), "one of which is NaN"),
    (
      lambda v: gen_monolith_ops.value_filter(v, field_name="uid", op="eq", float_operand=[1.0]),
      "1 are no int_operand",
    ),
    (lambda v: gen_monolith_ops.value_filter(v, field_name="u", op="eq"), "field_name is 'u', which is not in line id"),
    (lambda v: fu.filter_by_label(v, [], variant_type="instance"), "FilterByLabel: label_threshold is empty"),
    (lambda v: fu.negative_sample(v, 1.5), r"NegativeSample: drop_rate is 1.500000; it must be in \[0, 1\]"),
    (lambda v: fu.negative_sample(v, 0.5, -1), "label_index is -1; it must be at least 0"),
    (lambda v: fu.negative_sample(v, 0.5, 1), "NegativeSample: label_index is 1, but a record has 1 labels"),
    (lambda v: fu.negative_sample(v, 0.5, action_priority=[1, 1]), "action_priority lists 1 twice"),
    (lambda v: fu.negative_sample(v, 0.5, per_action_drop_rate="1:2"), r"the rate 2 is not in \[0, 1\]"),
    (
      lambda v: fu.negative_sample(v, 0.5, per_action_drop_rate="1"),
      "per_action_drop_rate is '1': '1' is not action:rate",
    ),
    (lambda v: fu.negative_sample(v, 0.5, per_action_drop_rate="x:1"), "'x' is no integer"),
    (lambda v: fu.special_strategy(v, []), "SpecialStrategy: strategy_list is empty"),
    (lambda v: fu.special_strategy(v, [1], "2:0.5"), "strategy 2 is not in strategy_list"),
    (lambda v: fu.special_strategy(v, [1], "1:nan"), "'nan' is no number"),
    (lambda v: fu.special_strategy(v, [1], "1"), r"'1' is not strategy:rate\[:label\]"),
  ],
)
def test_what_ops_refuse(call, words):
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    call(variants(record("instance", [0.0]), "instance"))


def test_shapes_are_inferred():
  with tf.Graph().as_default():
    serialized = tf.compat.v1.placeholder(tf.string, [None, 3])
    assert fu.has_variant(fu.string_to_variant(serialized)).shape.as_list() == [None, 3]
