# SPDX-License-Identifier: Apache-2.0
"""Writes the SavedModel of a graph whose tables live outside its variables.

Table files are assets. The constant ASSET_BASE says where they lie: a loader replaces it by the model's own
`assets/` directory while it runs the main op, which restores the tables.
"""

from __future__ import annotations

import os
import time
from typing import Dict, List, Mapping, Optional, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)

import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

TensorOrInfo = Union[tf.Tensor, meta_graph_pb2.TensorInfo]

_ASSET_BASE = "ASSET_BASE"
_ASSET_BASE_VALUE = "./"
_ASSETS_KEY = "saved_model_assets"
_MAX_VERSION_ATTEMPTS = 10
# Collections of Python objects that mean nothing outside this process and that no proto can hold.
_NOT_WRITTEN = ("monolith_graph_meta", "resources", "local_resources")


def build_signature(
  inputs: Mapping[str, TensorOrInfo], outputs: Mapping[str, TensorOrInfo]
) -> meta_graph_pb2.SignatureDef:
  """A Predict signature of tensors, or of what describes them, by public name."""
  return meta_graph_pb2.SignatureDef(
    inputs={name: _tensor_info(t) for name, t in inputs.items()},
    outputs={name: _tensor_info(t) for name, t in outputs.items()},
    method_name=tf.saved_model.PREDICT_METHOD_NAME,
  )


def _tensor_info(t: TensorOrInfo) -> meta_graph_pb2.TensorInfo:
  if isinstance(t, meta_graph_pb2.TensorInfo):
    return t
  return meta_graph_pb2.TensorInfo(name=t.name, dtype=t.dtype.as_datatype_enum, tensor_shape=t.shape.as_proto())


def create_asset_base() -> tf.Tensor:
  """The scalar string "./" of the default graph that loaders replace; made once a graph."""
  graph = tf.compat.v1.get_default_graph()
  for packed in graph.get_collection(_ASSETS_KEY):
    asset = meta_graph_pb2.AssetFileDef()
    if packed.Unpack(asset) and asset.filename == _ASSET_BASE_VALUE:
      return graph.get_tensor_by_name(asset.tensor_info.name)
  with tf.name_scope(""), tf.control_dependencies(None), tf.device(None):
    base = tf.constant(_ASSET_BASE_VALUE, name=_ASSET_BASE)
  asset = meta_graph_pb2.AssetFileDef(filename=_ASSET_BASE_VALUE)
  asset.tensor_info.name = base.name
  packed = any_pb2.Any()
  packed.Pack(asset)
  graph.add_to_collection(_ASSETS_KEY, packed)
  return base


def new_version(export_dir_base: str) -> str:
  """A version that `export_dir_base` lacks: the time in seconds.

  Raises:
    RuntimeError: ten seconds in a row were taken.
  """
  for _ in range(_MAX_VERSION_ATTEMPTS):
    version = str(int(time.time()))
    if not tf.io.gfile.exists(os.path.join(export_dir_base, version)):
      return version
    time.sleep(1)
  raise RuntimeError(
    f"{export_dir_base} already holds the versions of {_MAX_VERSION_ATTEMPTS} seconds in a row; remove some, or wait."
  )


def write(
  session: tf.compat.v1.Session,
  export_dir: str,
  signatures: Dict[str, meta_graph_pb2.SignatureDef],
  saver: tf.compat.v1.train.Saver,
  main_op: tf.Operation,
  assets_extra: Optional[Mapping[str, str]] = None,
  clear_devices: bool = False,
) -> None:
  """Writes the session's graph and variables to `temp-<version>` and renames that.

  Args:
    session: holds the variables.
    export_dir: `<base>/<version>`; must not exist.
    signatures: by name.
    saver: of the variables.
    main_op: what a loader runs after the variables are restored.
    assets_extra: path below `assets.extra/` -> file to copy there.
    clear_devices: whether to drop the devices of all ops.
  """
  base, version = os.path.split(export_dir)
  temporary = os.path.join(base, f"temp-{version}")
  if tf.io.gfile.exists(temporary):
    tf.io.gfile.rmtree(temporary)
  table_files, user_assets = _take_assets(session.graph)
  for collection in _NOT_WRITTEN:
    session.graph.clear_collection(collection)
  builder = tf.compat.v1.saved_model.Builder(temporary)
  builder.add_meta_graph_and_variables(
    session,
    [tf.saved_model.SERVING],
    signature_def_map=signatures,
    assets_collection=user_assets,
    main_op=main_op,
    strip_default_attrs=True,
    saver=saver,
    clear_devices=clear_devices,
  )
  builder.save()
  _name_asset_base(temporary)
  _copy({os.path.join("assets", os.path.basename(path)): path for path in table_files}, temporary)
  _copy({os.path.join("assets.extra", name): path for name, path in (assets_extra or {}).items()}, temporary)
  tf.io.gfile.rename(temporary, export_dir)


def _take_assets(graph: tf.Graph) -> tuple[List[str], List[tf.Tensor]]:
  """Takes the table files, which are plain paths, out of the collection; the rest stays TensorFlow's."""
  assets = graph.get_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS)
  user_assets = [asset for asset in assets if isinstance(asset, tf.Tensor)]
  graph.clear_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS)
  for asset in user_assets:
    graph.add_to_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS, asset)
  return [asset for asset in assets if not isinstance(asset, tf.Tensor)], user_assets


def _name_asset_base(directory: str) -> None:
  """Moves ASSET_BASE from the collection to the assets proper.

  Loaders read the collection only where there are no assets proper, and complain about it.
  """
  path = os.path.join(directory, "saved_model.pb")
  with tf.io.gfile.GFile(path, "rb") as file:
    model = saved_model_pb2.SavedModel.FromString(file.read())
  for meta_graph in model.meta_graphs:
    for packed in list(meta_graph.collection_def[_ASSETS_KEY].any_list.value):
      asset = meta_graph_pb2.AssetFileDef()
      if packed.Unpack(asset):
        meta_graph.asset_file_def.append(asset)
    meta_graph.collection_def.pop(_ASSETS_KEY, None)
  with tf.io.gfile.GFile(path, "wb") as file:
    file.write(model.SerializeToString(deterministic=True))


def _copy(target_to_source: Mapping[str, str], directory: str) -> None:
  for target, source in target_to_source.items():
    path = os.path.join(directory, target)
    tf.io.gfile.makedirs(os.path.dirname(path))
    tf.io.gfile.copy(source, path)
