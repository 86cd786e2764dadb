# SPDX-License-Identifier: Apache-2.0
"""Exports a trained model, tables included, as a SavedModel.

The op library must be loaded before such a SavedModel is:
`import monolith.native_training.runtime.ops.gen_monolith_ops`.
"""

from __future__ import annotations

import abc
import contextlib
import inspect
import os
import tempfile
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Union

from absl import logging

from monolith.native_training import _multi_table_listeners
from monolith.native_training import distributed_serving_ops
from monolith.native_training import graph_meta
from monolith.native_training import hash_table_ops
from monolith.native_training import multi_hash_table_ops
from monolith.native_training import save_utils
from monolith.native_training import tf_estimator
from monolith.native_training._hash_table_listeners import Shard, find_shards
from monolith.native_training._hash_table_listeners import plan_restore as plan_hash_tables
from monolith.native_training.model_export import _prediction_logs
from monolith.native_training.model_export import _saved_model_writer
from monolith.native_training.model_export import export_context

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

__all__ = ["BaseExporter", "DistributedExporter", "StandaloneExporter"]

_DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_WARMUP_ASSET = "tf_serving_warmup_requests"

ContextFactory = Callable[[], contextlib.AbstractContextManager]


class BaseExporter(abc.ABC):
  """What all ways of exporting share.

  Args:
    model_fn: (features, mode[, config]) -> EstimatorSpec, called once in PREDICT mode.
    model_dir: where the checkpoints are.
    export_dir_base: a directory for the exports; the name of each is its version.
    shared_embedding: True leaves the table files beside the checkpoint, which the server must then
      reach and which must outlive the export; False copies them into it.
    warmup_file: TFRecord of requests that a server replays before it serves. Where it does not exist, each export gets
      requests with random records of the features that its receiver parses; None leaves them out.
    export_context_list: make context managers that are entered while the graph is built.
  """

  def __init__(
    self,
    model_fn: Callable[..., Any],
    model_dir: str,
    export_dir_base: str,
    shared_embedding: bool = False,
    warmup_file: Optional[str] = None,
    export_context_list: Optional[Sequence[ContextFactory]] = None,
  ):
    self._model_fn = model_fn
    self._model_dir = os.fspath(model_dir)
    self._export_dir_base = os.fspath(export_dir_base)
    self._shared_embedding = shared_embedding
    self._warmup_file = warmup_file
    self._export_context_list = list(export_context_list or ())

  @abc.abstractmethod
  def export_saved_model(
    self,
    serving_input_receiver_fn: Callable[[], Any],
    checkpoint_path: Optional[str] = None,
    global_step: Optional[int] = None,
  ) -> Union[bytes, Dict[str, bytes]]:
    """Exports a checkpoint, by default the latest; returns the path of what was written."""

  @staticmethod
  def create_asset_base() -> tf.Tensor:
    """The string of the default graph that a loader replaces by the model's `assets/` directory."""
    return _saved_model_writer.create_asset_base()

  @staticmethod
  def add_ckpt_to_assets(ckpt_to_export: str, pattern: str = "*") -> List[str]:
    """Marks the table files of a checkpoint that match, to be copied into the export.

    Returns:
      Their paths, sorted.
    """
    directory = save_utils.SaveHelper.get_ckpt_asset_dir(ckpt_to_export)
    paths = sorted(tf.io.gfile.glob(os.path.join(directory, pattern)))
    graph = tf.compat.v1.get_default_graph()
    marked = [a for a in graph.get_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS) if isinstance(a, str)]
    for path in paths:
      if path not in marked:
        graph.add_to_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS, path)
    return paths

  @staticmethod
  def build_signature(
    input_tensor_dict: Mapping[str, Any], output_tensor_dict: Mapping[str, Any]
  ) -> meta_graph_pb2.SignatureDef:
    """A Predict signature of tensors or TensorInfos by public name."""
    return _saved_model_writer.build_signature(input_tensor_dict, output_tensor_dict)

  # ---- tables ----

  def create_hashtable_restore_ops(self, ckpt_to_export: str) -> List[tf.Operation]:
    """Ops that restore the one-slot tables of the default graph when a loader runs them.

    Raises:
      ValueError: the checkpoint lacks the files of a table.
    """
    tables = _hash_tables()
    if not tables:
      return []
    directory = os.path.join(_asset_directory(ckpt_to_export), "")
    plan = plan_hash_tables(directory, tables, _hash_table_shards())
    return [self._restore_hash_table(ckpt_to_export, table, plan[name]) for name, table in tables.items()]

  def create_multi_hashtable_restore_ops(self, ckpt_to_export: str) -> List[tf.Operation]:
    """Ops that restore the multi tables of the default graph when a loader runs them.

    Raises:
      ValueError: the checkpoint lacks the files of a table.
    """
    tables = tf.compat.v1.get_collection(multi_hash_table_ops._MULTI_HASH_TABLE_GRAPH_KEY)
    if not tables:
      return []
    directory = _asset_directory(ckpt_to_export)
    plan = _multi_table_listeners.plan_restore(directory, [t.shared_name for t in tables])
    return [self._restore_op(ckpt_to_export, table, *plan[table.shared_name]) for table in tables]

  def _restore_op(
    self,
    ckpt_to_export: str,
    table: multi_hash_table_ops.MultiHashTable,
    paths: Sequence[str],
    shard_index: int,
    num_shards: int,
  ) -> tf.Operation:
    basenames = self._basenames(ckpt_to_export, paths, self._shared_embedding)
    with tf.control_dependencies([table.initializer]):
      return table.restore(basenames, shard_index, num_shards).as_op()

  def _restore_hash_table(self, ckpt_to_export: str, table: hash_table_ops.HashTable, source: Any) -> tf.Operation:
    shared = table.export_share_embedding if table.export_share_embedding is not None else self._shared_embedding
    basenames = self._basenames(ckpt_to_export, source.basenames, shared)
    return table.restore(basenames, source.shard_index, source.num_shards).as_op().op

  def _basenames(self, ckpt_to_export: str, paths: Sequence[str], shared: bool) -> tf.Tensor:
    """The saved sets of a table: in files that are copied into the export, or where they are."""
    if shared:
      return tf.constant(list(paths))
    prefixes = [os.path.basename(path) for path in paths]
    for prefix in prefixes:
      for kind in ("", ".meta"):
        self.add_ckpt_to_assets(ckpt_to_export, f"{prefix}{kind}-[0-9]*-of-[0-9]*")
    return tf.strings.join([self.create_asset_base(), tf.constant(prefixes)])

  @staticmethod
  def build_hashtable_assign_inputs_outputs() -> tuple[Dict[str, tf.Tensor], Dict[str, tf.Tensor]]:
    """Inputs and outputs of the signature that assigns to the one-slot tables of the default graph.

    Returns:
      For each table, inputs `<name>_id` int64 [n] and `<name>_value` float32 [n, dim]; output `<name>_result`, the
      int32 n, once the rows are assigned.
    """
    inputs, outputs = {}, {}
    for name, table in _hash_tables().items():
      with tf.name_scope("hashtable_assign"):
        ids = tf.compat.v1.placeholder(tf.int64, [None], f"{name}_id")
        values = tf.compat.v1.placeholder(tf.float32, [None, table.dim_size], f"{name}_value")
        with tf.control_dependencies([table.assign(ids, values).as_op()]):
          outputs[f"{name}_result"] = tf.size(ids, tf.int32, name=f"{name}_result")
      inputs.update({f"{name}_id": ids, f"{name}_value": values})
    return inputs, outputs

  @staticmethod
  def add_multi_hashtable_assign_signatures(signatures: Dict[str, meta_graph_pb2.SignatureDef]) -> None:
    """Adds `<shared name>/raw_assign` of every multi table of the default graph.

    Inputs `id` int64 [n], `id_split` int64 [tables + 1] and `flat_value` float32, flat, in the order of
    sorted table names; output `result`, the int32 0.
    """
    for table in tf.compat.v1.get_collection(multi_hash_table_ops._MULTI_HASH_TABLE_GRAPH_KEY):
      with tf.name_scope("raw_assign"):
        ids = tf.compat.v1.placeholder(tf.int64, [None], "id")
        splits = tf.compat.v1.placeholder(tf.int64, [None], "id_split")
        values = tf.compat.v1.placeholder(tf.float32, [None], "flat_value")
        ragged = tf.RaggedTensor.from_row_splits(ids, splits, validate=False)
        with tf.control_dependencies([table.raw_assign(ragged, values).as_op()]):
          result = tf.constant(0, tf.int32, name="result")
      signatures[f"{table.shared_name}/raw_assign"] = _saved_model_writer.build_signature(
        {"id": ids, "id_split": splits, "flat_value": values}, {"result": result}
      )

  # ---- one SavedModel ----

  def _export_saved_model_from_graph(
    self,
    graph: tf.Graph,
    export_ctx: export_context.ExportContext,
    checkpoint_path: str,
    export_dir: Optional[str] = None,
    export_dir_base: Optional[str] = None,
    restore_hashtable: bool = True,
    assign_hashtable: bool = True,
    assets_extra: Optional[Mapping[str, str]] = None,
    clear_devices: bool = False,
  ) -> bytes:
    """Writes the graph with the variables of a checkpoint; returns the export's path.

    Raises:
      ValueError: neither directory is given, the checkpoint lacks something the graph has, or the graph calls another
        server, which an export cannot.
    """
    _refuse_remote_calls(graph)
    if export_dir is None:
      if export_dir_base is None:
        raise ValueError("_export_saved_model_from_graph: give export_dir or export_dir_base.")
      tf.io.gfile.makedirs(export_dir_base)
      export_dir = os.path.join(export_dir_base, _saved_model_writer.new_version(export_dir_base))
    with graph.as_default():
      tf.compat.v1.train.get_or_create_global_step(graph)
      signatures = {s.name: self.build_signature(s.inputs, s.outputs) for s in export_ctx.signatures(graph)}
      if assign_hashtable:
        inputs, outputs = self.build_hashtable_assign_inputs_outputs()
        signatures["hashtable_assign"] = self.build_signature(inputs, outputs)
        self.add_multi_hashtable_assign_signatures(signatures)
      main_op = self._main_op(checkpoint_path, restore_hashtable)
      saver = tf.compat.v1.train.Saver(sharded=True)
      config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
      with tf.compat.v1.Session(graph=graph, config=config) as session:
        _restore(saver, session, checkpoint_path)
        _saved_model_writer.write(session, export_dir, signatures, saver, main_op, assets_extra, clear_devices)
    return export_dir.encode()

  def _main_op(self, checkpoint_path: str, restore_hashtable: bool) -> tf.Operation:
    ops = [tf.compat.v1.tables_initializer()]
    if restore_hashtable:
      ops += self.create_hashtable_restore_ops(checkpoint_path)
      ops += self.create_multi_hashtable_restore_ops(checkpoint_path)
    return tf.group(*ops, name="main_op")

  # ---- the model ----

  def _model_fn_with_input_reveiver(self, serving_input_receiver_fn: Callable[[], Any]) -> None:
    """Builds the serving graph in the default graph and registers its signatures.

    Raises:
      ValueError: receiver or outputs cannot be a signature.
    """
    graph = tf.compat.v1.get_default_graph()
    receiver = serving_input_receiver_fn()
    inputs = _receiver_inputs(receiver.receiver_tensors)
    spec = tf_estimator.EstimatorSpec.from_any(self._call_model_fn(receiver.features))
    context = export_context.get_current_export_ctx()
    if context is None:
      raise ValueError("_model_fn_with_input_reveiver: no export is going on; use enter_export_mode.")
    for name, outputs in _export_outputs(spec).items():
      _warn_of_one_batch_size(name, inputs, outputs)
      context.add_signature(graph, name, inputs, outputs)

  def _call_model_fn(self, features: Any) -> Any:
    kwargs: Dict[str, Any] = {"mode": tf_estimator.ModeKeys.PREDICT}
    parameters = inspect.signature(self._model_fn).parameters
    if "config" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
      kwargs["config"] = tf_estimator.RunConfig(model_dir=self._model_dir)
    return self._model_fn(features=features, **kwargs)

  def gen_warmup_assets(self, directory: Optional[str] = None) -> Dict[str, str]:
    """The warm-up requests as an extra asset: {name in `assets.extra`: file}.

    They are the warm-up file, or, where that does not exist, made up for the default graph; none where that parses no
    features, or they cannot be made up, which is logged.

    Args:
      directory: where made-up requests are written; at the warm-up file's own path by default.
    """
    if not self._warmup_file:
      return {}
    if tf.io.gfile.exists(self._warmup_file):
      return {_WARMUP_ASSET: self._warmup_file}
    path = self._warmup_file if directory is None else os.path.join(directory, _WARMUP_ASSET)
    try:
      written = _prediction_logs.gen_warmup_file(path)
    except ImportError as error:
      logging.log_first_n(
        logging.INFO, "Exports carry no warm-up requests: %s Or set warmup_file to None, to do without.", 1, error
      )
      written = None
    except Exception as error:  # noqa: BLE001 (the export is complete without them)
      logging.warning(
        "The export carries no warm-up requests, since none could be made up (%s: %s); write %s by warmup_data_gen, or "
        "set warmup_file to None.",
        type(error).__name__,
        error,
        self._warmup_file,
      )
      written = None
    return {_WARMUP_ASSET: written} if written else {}

  def _checkpoint(self, checkpoint_path: Optional[str]) -> str:
    """The given checkpoint, or the latest.

    Raises:
      ValueError: there is none.
    """
    path = checkpoint_path or save_utils.latest_checkpoint(self._model_dir)
    if not path:
      raise ValueError(f"{self._model_dir} holds no checkpoint to export; train first, or give checkpoint_path.")
    return os.fspath(path)

  @contextlib.contextmanager
  def _export_environment(self, mode: export_context.ExportMode, context=None) -> Iterator[Any]:
    """Export mode, the caller's contexts, a fresh graph; without TF_CONFIG, which is of the training."""
    tf_config = os.environ.pop("TF_CONFIG", None)
    try:
      with contextlib.ExitStack() as stack:
        export_ctx = stack.enter_context(export_context.enter_export_mode(mode, context))
        graph = stack.enter_context(tf.Graph().as_default())
        for factory in self._export_context_list:
          stack.enter_context(factory())
        yield graph, export_ctx
    finally:
      if tf_config is not None:
        os.environ["TF_CONFIG"] = tf_config


class StandaloneExporter(BaseExporter):
  """Exports everything as one SavedModel, `<export_dir_base>/<version>/`."""

  def export_saved_model(
    self,
    serving_input_receiver_fn: Callable[[], Any],
    checkpoint_path: Optional[str] = None,
    global_step: Optional[int] = None,
  ) -> bytes:
    """Exports a checkpoint.

    Args:
      serving_input_receiver_fn: returns a ServingInputReceiver.
      checkpoint_path: `<model_dir>/model.ckpt-<step>`; the latest by default.
      global_step: unused here; the version is the time.

    Returns:
      The path of the export.

    Raises:
      ValueError: there is no such checkpoint, it lacks something that the model has, or the model has
        no proper signature.
    """
    checkpoint_path = self._checkpoint(checkpoint_path)
    with self._export_environment(export_context.ExportMode.STANDALONE) as (graph, export_ctx):
      self._model_fn_with_input_reveiver(serving_input_receiver_fn)
      _leave_jobs(graph)
      with tempfile.TemporaryDirectory() as directory:  # not the warm-up file's path: the next model is another
        assets = self.gen_warmup_assets(directory)
        return self._export_saved_model_from_graph(
          graph, export_ctx, checkpoint_path, export_dir_base=self._export_dir_base, assets_extra=assets
        )


class DistributedExporter(BaseExporter):
  """Would export a model and its parameter servers apart; not supported yet."""

  def __init__(self, *args: Any, **kwargs: Any):
    raise ValueError(
      "DistributedExporter is not supported yet; export with StandaloneExporter "
      "(serving.export_mode = ExportMode.STANDALONE)."
    )

  def export_saved_model(self, serving_input_receiver_fn, checkpoint_path=None, global_step=None):
    """Never reached: there is no instance."""
    raise NotImplementedError


def _asset_directory(checkpoint: str) -> str:
  directory = os.path.abspath(save_utils.SaveHelper.get_ckpt_asset_dir(checkpoint))
  if not tf.io.gfile.isdir(directory):
    raise ValueError(f"Checkpoint {checkpoint} has no tables: {directory} does not exist.")
  return directory


def _hash_tables() -> Dict[str, hash_table_ops.HashTable]:
  """Name of the files -> one-slot table of the default graph."""
  tables = tf.compat.v1.get_collection(hash_table_ops.HASH_TABLE_GRAPH_KEY)
  return {hash_table_ops.table_tensor_prefix(table): table for table in tables}


def _hash_table_shards() -> Dict[str, Shard]:
  """Which one-slot tables are shards of one; said by their servers, so asked before they leave them and kept."""
  kept: Dict[str, Shard] = graph_meta.get_meta("exported_hash_table_shards", dict)
  if not kept:
    kept.update(find_shards({name: table.handle.device for name, table in _hash_tables().items()}))
  return kept


def _leave_jobs(graph: tf.Graph) -> None:
  """Moves ops that ask for a job of the training cluster into the one process of a standalone model."""
  _hash_table_shards()
  for op in graph.get_operations():
    spec = tf.DeviceSpec.from_string(op.device)
    if spec.job is not None:
      op._set_device(spec.replace(job=None, replica=None, task=None))


def _refuse_remote_calls(graph: tf.Graph) -> None:
  calls = graph.get_collection(distributed_serving_ops.REMOTE_CALLS)
  if calls:
    raise ValueError(
      f"the graph calls remote_predict (signature {calls[0].signature_name!r} of model {calls[0].model_name!r}), which "
      "only the process that built it can run; export a model that calls no other."
    )


def _restore(saver: tf.compat.v1.train.Saver, session: tf.compat.v1.Session, checkpoint_path: str) -> None:
  problem = f"Checkpoint {checkpoint_path} does not hold what the model needs: "
  remedy = "Export the checkpoint of this very model."
  try:
    saved = tf.train.load_checkpoint(checkpoint_path).get_variable_to_shape_map()
    for variable in tf.compat.v1.global_variables():
      shape = saved.get(variable.op.name)
      # A saver takes another shape without a word. A part of a variable is saved under the whole's name.
      if shape is not None and variable._save_slice_info is None and not variable.shape.is_compatible_with(shape):
        raise ValueError(
          f"{problem}{variable.op.name} is {shape} there and {variable.shape.as_list()} in the model. {remedy}"
        )
    saver.restore(session, checkpoint_path)
  except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
    raise ValueError(f"{problem}{error} {remedy}") from error


def _receiver_inputs(receiver_tensors: Any) -> Dict[str, tf.Tensor]:
  """Receiver tensors by input name; a bare tensor is called `input`."""
  inputs = dict(receiver_tensors) if isinstance(receiver_tensors, Mapping) else {"input": receiver_tensors}
  for name, tensor in inputs.items():
    if not isinstance(tensor, tf.Tensor):
      raise ValueError(
        f"ServingInputReceiver.receiver_tensors[{name!r}] is {tensor!r}, not a tensor; "
        f"the order is ServingInputReceiver(features, receiver_tensors)."
      )
  return inputs


def _warn_of_one_batch_size(signature: str, inputs: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> None:
  """Says which input makes a signature take requests of one size only, which may be meant.

  An input of a known size is no batch where outputs have any number of rows: one ExampleBatch has many, say.
  """
  for name, tensor in inputs.items():
    rows = tensor.shape[0] if tensor.shape.rank else None
    fixed = [o for o, output in outputs.items() if output.shape.rank and output.shape[0] == rows]
    if rows is not None and fixed:
      logging.warning(
        "Signature %r takes requests of %d rows only: its input %r has shape %s, and its output %r as many rows. For "
        "requests of any size make the input a placeholder of shape %s.",
        signature, rows, name, tensor.shape.as_list(), fixed[0], [None, *tensor.shape.as_list()[1:]],
      )  # fmt: skip


def _export_outputs(spec: tf_estimator.EstimatorSpec) -> Dict[str, Dict[str, tf.Tensor]]:
  """signature name -> outputs by name, one of them the default signature."""
  if spec.export_outputs:
    found = {name: _named(output) for name, output in spec.export_outputs.items()}
  else:
    found = {_DEFAULT_SIGNATURE: _named(spec.predictions)}
  if _DEFAULT_SIGNATURE not in found:
    if len(found) > 1:
      raise ValueError(
        f"export_outputs has {sorted(found)} but none is named {_DEFAULT_SIGNATURE!r}, "
        f"which a request without a signature name means; name one so."
      )
    found[_DEFAULT_SIGNATURE] = next(iter(found.values()))
  return found


def _named(output: Any) -> Dict[str, tf.Tensor]:
  """{output name: tensor} of a PredictOutput, of a dict, or of one tensor, called `output`."""
  output = getattr(output, "outputs", output) if not isinstance(output, tf.Tensor) else output
  named = dict(output) if isinstance(output, Mapping) else {"output": output}
  for name, tensor in named.items():
    if not isinstance(tensor, tf.Tensor):
      raise ValueError(f"Output {name!r} of the model is {tensor!r}; only tensors can be exported.")
  return named
