# SPDX-License-Identifier: Apache-2.0
"""Parts of small graphs, imported into others: variables, boundaries, functions of datasets, inputs, receivers."""

import ast
import pickle

import numpy as np
import pytest

import pb_records

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver

from idl.matrix.proto import example_pb2
from monolith.native_training.data import parsers
from monolith.native_training.data.datasets import PBDataset, PbType
from monolith.native_training.model_dump import _literals, _plain_pickle, graph_utils, monolith_model_pb2
from monolith.native_training.model_dump._variable_defs import COLLECTIONS_ATTR

v1 = tf.compat.v1


def built(build):
  """(GraphDef, what `build` returns) of a graph of its own."""
  graph = tf.Graph()
  with graph.as_default():
    v1.get_variable_scope().set_use_resource(True)
    result = build()
  return graph.as_graph_def(), result


def in_new_graph(import_fn, feed=None):
  """Runs what `import_fn` returns in a graph of its own, with its variables as they start."""
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    tensors = import_fn()
    session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
    session.run(v1.get_collection("mkiter"))
    return session.run(tensors, feed)


@pytest.mark.parametrize("name, node", [("x", "x"), ("^x", "x"), ("x:0", "x"), ("a/b:1", "a/b"), ("^a/b", "a/b")])
def test_node_names(name, node):
  assert graph_utils._node_name(name) == node


@pytest.mark.parametrize("hint, node", [(b"loc:@w/part_0", "w/part_0"), ("loc:@w", "w"), ("w", "w")])
def test_colocated_node_names(hint, node):
  assert graph_utils._colocated_node_name(hint) == node


def test_echo_initializer_gives_tensors_of_any_form():
  with tf.Graph().as_default():
    tensor = tf.constant([1.0, 2.0])
    for value in (tensor, [tensor, None], tensor.op):
      assert graph_utils.EchoInitializer(value)([2], dtype=tf.float32) is tensor
    parts = tf.split(tensor, 2)
    with pytest.raises(ValueError, match="neither a tensor nor an operation with one output"):
      graph_utils.EchoInitializer(parts[0].op)
    with pytest.raises(ValueError, match="neither"):
      graph_utils.EchoInitializer([])


def test_helper_wants_a_graph_def():
  with pytest.raises(TypeError, match="graph_def is Graph; it must be a GraphDef"):
    graph_utils.GraphDefHelper(tf.Graph(), {})


# Variables.


def _plain():
  w = v1.get_variable("w", initializer=tf.constant([1.0, 2.0, 3.0]) * 2.0)
  return tf.identity(w * w, name="square")


def test_a_plain_variable_starts_and_changes_as_before():
  graph_def, _ = built(_plain)
  helper = graph_utils.GraphDefHelper(graph_def, {})

  def check(session, tensor):
    session.run(v1.global_variables_initializer())
    np.testing.assert_array_equal(session.run(tensor), [4.0, 16.0, 36.0])
    session.run(v1.trainable_variables()[0].assign([1.0, 1.0, 5.0]))
    np.testing.assert_array_equal(session.run(tensor), [1.0, 1.0, 25.0])

  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    (tensor,) = helper.import_tensors(["square:0"])
    assert [v.name for v in v1.global_variables()] == ["w:0"]
    check(session, tensor)
    assert isinstance(helper.variables["w"], graph_utils.VariableDef)
    assert "w/Read/ReadVariableOp" in helper.variables["w"].reads
    np.testing.assert_array_equal(session.run(helper.variables["w"].initializer(None)), [2.0, 4.0, 6.0])


def test_a_variable_that_the_graph_has_is_used():
  graph_def, _ = built(_plain)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    own = v1.get_variable("w", initializer=tf.constant([7.0, 0.0, 0.0]), use_resource=True)
    (tensor,) = helper.import_tensors(["square:0"])
    assert v1.global_variables() == [own] and helper.variables["w"].variable is own
    session.run(v1.global_variables_initializer())
    np.testing.assert_array_equal(session.run(tensor), [49.0, 0.0, 0.0])
  with tf.Graph().as_default():
    v1.get_variable("w", [2], use_resource=True)
    with pytest.raises(ValueError, match=r"a variable 'w' of float32 \(2,\) already, and the dump one of .* \(3,\)"):
      helper.import_tensors(["square:0"])


def test_a_graph_imported_twice_shares_its_variables():
  graph_def, _ = built(_plain)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    tensors = helper.import_tensors(["square:0"]) + helper.import_tensors(["square:0"])
    assert len(v1.global_variables()) == 1 and tensors[0] is not tensors[1]
    session.run(v1.global_variables_initializer())
    session.run(v1.global_variables()[0].assign([3.0, 3.0, 3.0]))
    np.testing.assert_array_equal(session.run(tensors), [[9.0] * 3] * 2)


def test_variable_scopes_are_kept_and_partitioners_do_not_cut():
  def build():
    with v1.variable_scope("tower"):
      w = v1.get_variable("w", [4, 2], initializer=v1.ones_initializer())
    return tf.identity(w, name="read")

  graph_def, _ = built(build)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default():
    partitioner = v1.fixed_size_partitioner(2)
    with v1.variable_scope(v1.get_variable_scope(), partitioner=partitioner):
      helper.import_tensors(["read:0"])
      assert v1.get_variable_scope().partitioner is partitioner
    assert [v.name for v in v1.global_variables()] == ["tower/w:0"]


def test_collections_and_trainability_come_from_the_dump():
  def build():
    step = v1.get_variable("step", [], tf.int64, v1.zeros_initializer(), trainable=False)
    zeros = v1.zeros_initializer()
    local = v1.get_variable("local", [], collections=["local_variables"], trainable=False, initializer=zeros)
    return tf.identity(tf.cast(step, tf.float32) + local, name="sum")

  graph_def, _ = built(build)
  for node in graph_def.node:
    if node.name == "local":
      node.attr[COLLECTIONS_ATTR].list.s.append(b"local_variables")
  with tf.Graph().as_default():
    graph_utils.GraphDefHelper(graph_def, {}).import_tensors(["sum:0"])
    assert [v.name for v in v1.global_variables()] == ["step:0"]
    assert [v.name for v in v1.local_variables()] == ["local:0"]
    assert v1.trainable_variables() == []


@pytest.mark.parametrize("from_tensor", [False, True], ids=["initializer", "tensor"])
def test_partitioned_variables(from_tensor):
  def build():
    with v1.variable_scope("s", partitioner=v1.fixed_size_partitioner(2)):
      if from_tensor:
        w = v1.get_variable("w", initializer=tf.reshape(tf.range(15.0), [5, 3]))
      else:
        w = v1.get_variable("w", [5, 3], initializer=v1.truncated_normal_initializer(seed=3))
    gathered = v1.nn.embedding_lookup(w, [4, 0], partition_strategy="div")
    infos = {v.op.name: v._get_save_slice_info().to_proto().SerializeToString() for v in v1.global_variables()}
    return tf.matmul(tf.ones([1, 5]), w, name="sums"), tf.identity(gathered, name="rows"), infos

  graph_def, (_, _, infos) = built(build)
  assert sorted(infos) == ["s/w/part_0", "s/w/part_1"]
  helper = graph_utils.GraphDefHelper(graph_def, infos)
  variable = helper.variables["s/w"]
  assert isinstance(variable, graph_utils.PartitionVariableDef)
  assert variable.partitions == ["s/w/part_0", "s/w/part_1"] and variable.reads
  node = helper.node(variable.reads[0])
  assert graph_utils.PartitionVariableDef.get_base_name(node) == "s/w"
  assert graph_utils.PartitionVariableDef.get_base_name(helper.node("s/w/part_1")) == "s/w"
  original = _run_graph_def(graph_def, ["sums:0", "rows:0"])
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    tensors = helper.import_tensors(["sums:0", "rows:0"])
    parts = v1.global_variables()
    assert [(v.op.name, v.shape.as_list()) for v in parts] == [("s/w/part_0", [3, 3]), ("s/w/part_1", [2, 3])]
    for part in parts:
      assert part._get_save_slice_info().to_proto().SerializeToString() == infos[part.op.name]
    assert len(variable.initializer) == 2
    session.run(v1.global_variables_initializer())
    for found, expected in zip(session.run(tensors), original):
      np.testing.assert_array_equal(found, expected)
    # A checkpoint holds the parts as one variable.
    whole = np.arange(15.0, dtype=np.float32).reshape(5, 3)
    session.run([parts[0].assign(whole[:3]), parts[1].assign(whole[3:])])
    np.testing.assert_array_equal(session.run(tensors[0]), whole.sum(axis=0, keepdims=True))
    assert v1.train.Saver(parts)._var_list == parts


def _run_graph_def(graph_def, names):
  """Runs a whole GraphDef, its variables assigned by the nodes that it has for that."""
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    tf.import_graph_def(graph_def, name="")
    session.run([op for op in graph.get_operations() if op.name.endswith("/Assign")])
    return session.run(names)


def test_assignments_and_their_order_are_kept():
  def build():
    w = v1.get_variable("w", [], initializer=v1.zeros_initializer())
    with tf.control_dependencies([w.assign_add(2.0).op]):
      return tf.identity(w.read_value() * 10.0, name="after")

  graph_def, _ = built(build)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  assert in_new_graph(lambda: helper.import_tensors(["after:0"])) == [20.0]


def test_a_variable_that_nothing_initializes_is_refused():
  graph_def, _ = built(_plain)
  for node in list(graph_def.node):
    if node.name == "w/Assign":
      graph_def.node.remove(node)
  with tf.Graph().as_default(), pytest.raises(ValueError, match="variable 'w' has no node w/Assign"):
    graph_utils.GraphDefHelper(graph_def, {}).import_tensors(["square:0"])


def test_ref_variables_are_refused():
  def build():
    w = v1.get_variable("w", [2], use_resource=False)
    return tf.identity(w, name="read")

  graph_def, _ = built(build)
  with pytest.raises(ValueError, match="node 'w' is a VariableV2.*set_use_resource"):
    graph_utils.GraphDefHelper(graph_def, {}).sub_graph(["read"])


def test_loops_and_branches_come_with_their_functions():
  def build():
    w = v1.get_variable("w", initializer=tf.constant(3.0))

    def doubled(i, x):
      return i + 1, tf.cond(x < 20.0, lambda: x * 2.0, lambda: x + w)

    return tf.identity(tf.while_loop(lambda i, x: i < 4, doubled, (0, w))[1], name="end")

  graph_def, _ = built(build)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  # 3, 6, 12, 24, 24 + 3.
  assert in_new_graph(lambda: helper.import_tensors(["end:0"])) == [27.0]


# Boundaries.


def _chain():
  a = v1.placeholder(tf.float32, [None], name="a")
  halves = tf.split(tf.concat([a, a + 1.0], 0, name="both"), [1, 1], name="halves")
  with v1.device("/device:CPU:0"):
    b = tf.multiply(halves[1], 10.0, name="b")
  unused = tf.negative(a, name="unused")
  with tf.control_dependencies([halves[0]]):
    one = tf.identity(1.0, name="one")
  with v1.colocate_with(unused):
    c = tf.add(b, one, name="c")
  return c


def test_sub_graphs_end_at_sources():
  graph_def, _ = built(_chain)
  helper = graph_utils.GraphDefHelper(graph_def, {})

  def names(*args, **kwargs):
    return {node.name for node in helper.sub_graph(*args, **kwargs).graph_def.node}

  everything = names(["c"])
  assert {"a", "both", "halves", "b", "c"} <= everything and "unused" not in everything
  assert names(["c:0"]) == everything
  assert names(["c"], ["halves"]) == {"c", "one", "one/input", "b", "b/y"}
  # What only comes first is needed too.
  assert names(["c"], ["b:0"]) == everything - {"b", "b/y"}
  # One output of a node that has two.
  assert "halves" in names(["unused", "b"], ["halves:0"])
  assert names(["b"], ["halves:1"]) == {"b", "b/y"}
  assert names(["c"], ["halves:1"]) == {"c", "one", "one/input", "b", "b/y"}
  assert names([]) == set()
  with pytest.raises(AssertionError, match="no node 'nowhere', which the destinations need"):
    helper.sub_graph(["nowhere"])


def test_devices_and_colocation_are_forgotten():
  graph_def, _ = built(_chain)
  assert any(node.device for node in graph_def.node) and any("_class" in node.attr for node in graph_def.node)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  sub = helper.sub_graph(["c"]).graph_def
  assert not any(node.device for node in sub.node) and not any("_class" in node.attr for node in sub.node)
  assert helper.colocated_with("c") == ["unused"]
  # The caller's own is as it was.
  assert any("_class" in node.attr for node in graph_def.node)


def test_what_takes_a_tensors_place_also_comes_first():
  graph_def, _ = built(_chain)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    first, second = tf.constant([1.0]), tf.constant([2.0])
    b, c = helper.import_tensors(["b:0", "c:0"], {"halves": first, "halves:1": second})
    assert graph.get_operation_by_name("one/input").control_inputs in ([first.op], [second.op])
    assert {op.name for op in graph.get_operations()} == {"Const", "Const_1", "b", "b/y", "c", "one", "one/input"}
    assert session.run([b, c]) == [[20.0], [21.0]]
    assert helper.imported("c:0") is c and helper.imported("b") is b.op
    with pytest.raises(KeyError, match="'unused:0' was not imported"):
      helper.imported("unused:0")


def test_a_wanted_tensor_may_itself_be_given():
  graph_def, _ = built(_chain)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default():
    given = tf.constant([4.0])
    assert helper.import_tensors(["c:0"], {"c:0": given}) == [given]


def test_what_nothing_uses_is_left_out_with_a_warning(caplog):
  graph_def, _ = built(_chain)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  sub = helper.sub_graph(["c"], ["halves"]).graph_def
  given = {"halves": "x", "halves:1": "y", "^halves": "z", "unused:0": "v", "unknown:0": "w"}
  with caplog.at_level("WARNING"):
    helper._check_invalidate_node(sub, given)
  assert sorted(given) == ["^halves", "halves:1"]
  assert "unused:0" in caplog.text and "unknown:0" in caplog.text and "halves" not in caplog.text
  with tf.Graph().as_default():
    helper.import_tensors(["b:0"], {"halves:1": tf.constant([1.0]), "unknown:0": tf.constant(1)})


# Inputs.


def _features():
  dataset = tf.data.Dataset.range(6).batch(3).map(_to_features)
  iterator = v1.data.make_initializable_iterator(dataset)
  features = iterator.get_next()
  conf = monolith_model_pb2.InputFn()
  for name, value in features.items():
    conf.output_features[name] = _literals.input_literal(name, value)
  return conf


def _to_features(numbers):
  return {
    "fids": tf.RaggedTensor.from_row_lengths(tf.range(6) * 10, [1, 2, 3]),
    "x": _doubled(numbers),
    "deep": tf.ragged.constant([[[1], [2, 3]], [[]], []]),
  }


@tf.function
def _doubled(numbers):
  return numbers * 2


def test_functions_of_datasets_come_along():
  graph_def, conf = built(_features)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  record = _literals.parse_feature("x", conf.output_features["x"])
  makers = [node.name for node in helper.nodes("MakeIterator")]
  library = helper.sub_graph([record.values, *makers]).graph_def.library
  called = {function.signature.name for function in library.function}
  assert len(called) >= 2 and any("doubled" in name for name in called)
  assert not helper.sub_graph(makers, with_library=False).graph_def.library.function
  assert not helper.sub_graph([record.values]).graph_def.library.function


def test_an_input_is_imported_with_its_iterator():
  graph_def, conf = built(_features)
  assert ast.literal_eval(conf.output_features["x"]).keys() == {"name", "is_ragged"}
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    features = helper.import_input_fn(conf, "")
    assert isinstance(features["fids"], tf.RaggedTensor) and isinstance(features["x"], tf.Tensor)
    assert features["deep"].ragged_rank == 2
    (make,) = v1.get_collection("mkiter")
    (iterator,) = v1.get_collection("iterator")
    assert make.type == "MakeIterator" and make.inputs[1] is iterator
    assert v1.get_collection("iterators") == [iterator]
    graph_utils.DatasetInitHook(make).after_create_session(session, None)
    first, second = session.run(features), session.run(features)
    np.testing.assert_array_equal(first["x"], [0, 2, 4])
    np.testing.assert_array_equal(second["x"], [6, 8, 10])
    assert first["fids"].to_list() == [[0], [10, 20], [30, 40, 50]]
    assert first["deep"].to_list() == [[[1], [2, 3]], [[]], []]


def test_a_dry_run_has_no_iterator_to_initialize():
  graph_def, conf = built(_features)
  with tf.Graph().as_default() as graph:
    setattr(graph, graph_utils.DRY_RUN, True)
    features = graph_utils.GraphDefHelper(graph_def, {}).import_input_fn(conf)
    assert sorted(features) == ["deep", "fids", "x"]
    assert not v1.get_collection("mkiter") and not any("Dataset" in op.type for op in graph.get_operations())


def test_labels_beside_features():
  def build():
    conf = monolith_model_pb2.InputFn()
    conf.output_features["x"] = _literals.input_literal("x", tf.constant([1.0], name="x"))
    conf.label = _literals.label_literal({"ctr": tf.constant([0.5], name="y")})
    return conf

  graph_def, conf = built(build)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  assert in_new_graph(lambda: helper.import_input_fn(conf)) == {"x": [1.0], "label": {"ctr": [0.5]}}
  conf.output_features["label"] = conf.output_features["x"]
  with tf.Graph().as_default(), pytest.raises(ValueError, match="a feature 'label' and a label beside"):
    helper.import_input_fn(conf)


@pytest.mark.parametrize("text", ["", "[", "__import__('os').getcwd()", "{'name': 'x'}", "3"])
def test_texts_that_are_no_literals_are_refused(text):
  with pytest.raises(ValueError, match="of feature 'f'; it must be a literal with name"):
    _literals.parse_feature("f", text)


def test_features_that_are_no_tensors_are_refused():
  with pytest.raises(ValueError, match="feature 's' is SparseTensor"):
    _literals.input_literal("s", tf.sparse.from_dense([[1]]))
  with pytest.raises(ValueError, match="the dump says 'f\\(\\)' of the label"):
    _literals.parse_label("f()")


def _example(user):
  example = example_pb2.Example()
  example.label.append(float(user))
  example.named_feature.add(name="user").feature.fid_v2_list.value.append(user)
  return example


def _file_of(path, *users):
  path.write_bytes(pb_records.stream([_example(user) for user in users], sort_id=b""))
  return str(path)


def _pb_input(file_name):
  def build():
    dataset = PBDataset(file_name=file_name, input_pb_type=PbType.EXAMPLE, output_pb_type=PbType.EXAMPLE).batch(2)
    parsed = dataset.map(lambda records: parsers.parse_examples(records, ["user"], ["label"]))
    iterator = v1.data.make_initializable_iterator(parsed)
    conf = monolith_model_pb2.InputFn(parser_type="example")
    for name, value in iterator.get_next().items():
      conf.output_features[name] = _literals.input_literal(name, value)
    return conf

  return built(build)


def test_another_file_may_be_read(tmp_path):
  one, other = _file_of(tmp_path / "one", 1, 2), _file_of(tmp_path / "other", 3, 4)
  graph_def, conf = _pb_input(one)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  assert helper.node(helper.file_name_node).attr["value"].tensor.string_val == [one.encode()]
  for file_name, users in ((None, [[1], [2]]), (other, [[3], [4]])):
    features = in_new_graph(lambda file_name=file_name: helper.import_input_fn(conf, file_name))
    assert features["user"].to_list() == users
    np.testing.assert_array_equal(features["label"], users)


def test_the_flag_data_type_says_what_records_are(tmp_path):
  graph_def, conf = _pb_input(_file_of(tmp_path / "one", 1, 2))
  helper = graph_utils.GraphDefHelper(graph_def, {})
  if "data_type" not in flags.FLAGS:
    flags.DEFINE_string("data_type", None, "What records are.")
  with flagsaver.flagsaver(data_type="examplebatch"), tf.Graph().as_default() as graph:
    helper.import_input_fn(conf)
    (dataset,) = [op for op in graph.get_operations() if op.type == "PBDataset"]
    assert tf.get_static_value(dataset.inputs[7]) == b"examplebatch"
    assert tf.get_static_value(dataset.inputs[8]) == b"example"


def test_a_file_name_without_a_file_is_refused():
  graph_def, conf = built(_features)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  assert helper.file_name_node is None
  with tf.Graph().as_default(), pytest.raises(ValueError, match="'there', but the dumped input has 0 PBDatasets"):
    helper.import_input_fn(conf, "there")


# Receivers.


def test_receivers_are_imported():
  def build():
    examples = v1.placeholder(tf.string, [None], name="examples")
    features = parsers.parse_examples(
      examples, ["user"], ["label", "dense"], [1, 3], [tf.float32, tf.float32], ["uid", "sample_rate"], [1, 1]
    )
    conf = monolith_model_pb2.ServingInputReceiverFn(parser_type="example")
    for name, value in features.items():
      conf.features[name] = _literals.receiver_literal(name, value)
    conf.receiver_name["examples"] = examples.name
    return conf

  graph_def, conf = built(build)
  assert ast.literal_eval(conf.features["dense"]) == {
    "name": ast.literal_eval(conf.features["dense"])["name"], "is_ragged": False, "dtype": "float32", "last_dim": 3
  }  # fmt: skip
  assert ast.literal_eval(conf.features["user"]).keys() == {"values", "row_splits", "is_ragged"}
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    receiver = helper.import_receiver_fn(conf)
    assert list(receiver.receiver_tensors) == ["examples"]
    records = [_example(5).SerializeToString()] * 2
    values = session.run(receiver.features, {receiver.receiver_tensors["examples"]: records})
    assert values["user"].to_list() == [[5], [5]] and values["dense"].shape == (2, 3)
    assert v1.get_collection("sparse_features") == [["user"]]
    assert v1.get_collection("dense_features") == [["dense", "label"]]
    assert v1.get_collection("dense_feature_shapes") == [[3, 1]]
    assert v1.get_collection("dense_feature_types") == [[tf.float32, tf.float32]]
    assert v1.get_collection("extra_features") == [["sample_rate", "uid"]]
    assert v1.get_collection("extra_feature_shapes") == [[1, 1]]
    assert v1.get_collection("variant_type") == ["example"]


def test_lookup_tables_are_filled():
  def build():
    initializer = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
    table = tf.lookup.StaticHashTable(initializer, default_value=-1)
    dataset = tf.data.Dataset.from_tensors(["b", "z"]).map(table.lookup)
    conf = monolith_model_pb2.InputFn()
    numbers = v1.data.make_initializable_iterator(dataset).get_next()
    conf.output_features["number"] = _literals.input_literal("number", numbers)
    return conf

  graph_def, conf = built(build)
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    number = graph_utils.GraphDefHelper(graph_def, {}).import_input_fn(conf)["number"]
    session.run(v1.tables_initializer())
    session.run(v1.get_collection("mkiter"))
    np.testing.assert_array_equal(session.run(number), [2, -1])


# Models.


def _model():
  x = tf.identity(v1.placeholder(tf.float32, [None, 2], name="x"), name="embedding")
  pred = tf.sigmoid(tf.keras.layers.Dense(1, kernel_initializer="ones", name="top")(x)[:, 0], name="pred")
  label = v1.placeholder_with_default([1.0], [None], name="y")
  loss = tf.reduce_sum((label - pred) ** 2, name="loss")
  extra = tf.reduce_sum(pred, name="extra")
  summary = v1.summary.scalar("shown", loss)
  proto = monolith_model_pb2.ProtoModel()
  proto.model_fn.predict.append(pred.name)
  proto.model_fn.label.append(label.name)
  proto.model_fn.loss = loss.name
  proto.model_fn.head_name.append("ctr")
  proto.model_fn.classification.append(True)
  proto.model_fn.extra_losses.append(extra.name)
  proto.model_fn.summary.append(summary.name)
  proto.extra_output.add(signature_name="both").fetch_dict.update({"p": pred.name, "e": extra.name})
  proto.signature.add(name="s", inputs={"in": "x:0"}, outputs={"out": pred.name})
  return proto


def test_models_are_imported_behind_their_embeddings():
  graph_def, proto = built(_model)
  helper = graph_utils.GraphDefHelper(graph_def, {})
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    embedding = tf.constant([[1.0, -1.0]])
    label, loss, predict, head_name, extra, is_classification = helper.import_model_fn(
      {"embedding:0": embedding, "nobody:0": embedding}, proto
    )
    assert (head_name, is_classification) == (["ctr"], [True]) and list(extra) == ["both"]
    session.run(v1.global_variables_initializer())
    assert session.run([label[0], predict[0], loss]) == [[1.0], [0.5], 0.25]
    assert session.run(extra["both"]) == {"p": [0.5], "e": 0.5}
    (extra_loss,) = getattr(graph, "__losses")
    assert session.run(extra_loss) == 0.5
    (summary,) = v1.get_collection("summaries")
    assert tf.compat.v1.Summary.FromString(session.run(summary)).value[0].simple_value == 0.25
    assert sorted(v.name for v in v1.trainable_variables()) == ["top/bias:0", "top/kernel:0"]


def test_heads_without_labels_and_modes_without_loss():
  graph_def, proto = built(_model)
  proto.model_fn.ClearField("loss")
  proto.model_fn.label[0] = ""
  proto.model_fn.ClearField("summary")
  with tf.Graph().as_default():
    model = graph_utils.GraphDefHelper(graph_def, {}).import_model_fn(None, proto)
    assert model.label == [None] and model.loss is None and model.predict[0].name == "pred:0"


def test_signatures_with_unknown_inputs_are_refused():
  graph_def, proto = built(_model)
  proto.signature[0].inputs["in"] = "gone:0"
  with tf.Graph().as_default(), pytest.raises(ValueError, match="input 'in' of signature 's' is 'gone:0'"):
    graph_utils.GraphDefHelper(graph_def, {}).import_model_fn({}, proto)


def test_outputs_that_the_graph_lacks_are_refused():
  graph_def, proto = built(_model)
  proto.model_fn.loss = "gone:0"
  with tf.Graph().as_default(), pytest.raises(AssertionError, match="no node 'gone'"):
    graph_utils.GraphDefHelper(graph_def, {}).import_model_fn({}, proto)


def test_sparse_features_come_from_the_op_that_deals_fids():
  def build():
    configs = example_pb2.FeatureConfigs()
    for name in ("user", "item"):
      configs.feature_configs[name].table = name
      configs.feature_configs[name].slice_dims.append(4)
    records = v1.placeholder(tf.string, [None], name="records")
    dealt = parsers.sharding_sparse_fids(records, 1, configs, False, "example")
    proto = monolith_model_pb2.ProtoModel()
    proto.model_fn.predict.append(tf.identity(dealt.batch_size, name="rows").name)
    return proto

  graph_def, proto = built(build)
  with tf.Graph().as_default():
    graph_utils.GraphDefHelper(graph_def, {}).import_model_fn({}, proto)
    assert v1.get_collection("sparse_features") == [["item", "user"]]


# Pickles.


def test_optimizers_round_trip():
  helper = graph_utils.GraphDefHelper(tf.compat.v1.GraphDef(), {})
  assert helper.get_optimizer(monolith_model_pb2.ProtoModel()) is None
  proto = monolith_model_pb2.ProtoModel(
    optimizer=_plain_pickle.dump_plain(v1.train.AdagradOptimizer(0.25, 0.5), "optimizer")
  )
  optimizer = helper.get_optimizer(proto)
  assert isinstance(optimizer, v1.train.AdagradOptimizer)
  with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
    w = v1.get_variable("w", initializer=tf.constant([2.0]), use_resource=True)
    step = optimizer.minimize(tf.reduce_sum(w * w))
    session.run(v1.global_variables_initializer())
    session.run(step)
    # Adagrad: w - rate * g / sqrt(accumulator + g^2), g = 4.
    np.testing.assert_allclose(session.run(w), [2.0 - 0.25 * 4.0 / np.sqrt(0.5 + 16.0)], rtol=1e-6)


class _Evil:
  def __reduce__(self):
    return (print, ("run by a pickle",))


def test_pickles_of_anything_else_are_refused_and_not_run(capsys):
  proto = monolith_model_pb2.ProtoModel(optimizer=pickle.dumps(_Evil()))
  helper = graph_utils.GraphDefHelper(tf.compat.v1.GraphDef(), {})
  with pytest.raises(ValueError, match=r"ProtoModel.optimizer holds builtins.print, which dumps cannot hold"):
    helper.get_optimizer(proto)
  assert "run by a pickle" not in capsys.readouterr().out
  for damaged in (b"\x80\x04garbage", b"\x80\x63."):  # the second is of a protocol that there is not
    with pytest.raises(ValueError, match="ProtoModel.optimizer is no pickle of plain data"):
      helper.get_optimizer(monolith_model_pb2.ProtoModel(optimizer=damaged))


def test_plain_data_round_trips():
  value = {"a": [1, 2.5, None, True, b"x", "y"], "b": ({1, 2}, frozenset([3])), "c": np.arange(6.0).reshape(2, 3)}
  loaded = _plain_pickle.load_plain(_plain_pickle.dump_plain(value, "value"), "value")
  np.testing.assert_array_equal(loaded.pop("c"), value.pop("c"))
  assert loaded == value
  assert _plain_pickle.is_plain(np.float32(3.5)) and not _plain_pickle.is_plain(lambda: 0)
  with pytest.raises(ValueError, match="value cannot be dumped"):
    _plain_pickle.dump_plain(lambda: 0, "value")
