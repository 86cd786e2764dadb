# SPDX-License-Identifier: Apache-2.0
"""Starting from a checkpoint with other dense variables: fresh ones, or ones under other names.

Tables are restored as ever. A `CustomRestoreListener` of the restore hook prepares the change while the graph is built,
and the saver carries it out instead of its plain restore, for that one checkpoint.
"""

from __future__ import annotations

import collections
import os
import re
import zlib
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from absl import logging

from monolith.native_training import _checkpoint_files
from monolith.native_training.basic_restore_hook import CheckpointRestorerListener
from monolith.native_training.model_export import export_context

__all__ = [
  "CUSTOM_RESTORE_OP",
  "CustomRestore",
  "CustomRestoreListener",
  "add_mapping_rules",
  "calc_feed_dict",
  "custom_restore",
  "get_new_name",
  "guess_alias_map",
  "infer_variable_name",
  "node_name",
  "split_name",
]

CUSTOM_RESTORE_OP = "custom_restore_op"
CLEAR_NN_MARKER = "clear_nn"

_PART = re.compile(r"/part_\d+$")

_rules: List[Tuple[str, str]] = []


def node_name(name: str) -> str:
  """The name of an op or tensor without what an edge adds: `^a/b:0` is `a/b`."""
  return name.strip().lstrip("^").split(":")[0]


def get_new_name(name: str) -> str:
  """`name` without parts of the path that repeat the one before: `a/a/b` is `a/b`."""
  parts = name.split("/")
  return "/".join(part for i, part in enumerate(parts) if i == 0 or part != parts[i - 1])


def split_name(name: str) -> Tuple[str, int]:
  """A name and its counter: `dense_12` is ("dense_", 12), `dense` is ("dense_", 0)."""
  match = re.match(r"(.*_)(\d+)$", name)
  return (match[1], int(match[2])) if match else (name + "_", 0)


def infer_variable_name(name: str) -> str:
  """The name under which a checkpoint holds a variable: that of a partitioned one has no `/part_k`."""
  return _PART.sub("", node_name(name))


def add_mapping_rules(rules: Mapping[str, str]) -> None:
  """Adds rules for guessing old names, tried in their order.

  Args:
    rules: {regular expression found in a new name: what to put there instead}.
  """
  _rules.extend(rules.items())


def _pattern(name: str) -> Tuple[str, ...]:
  return tuple(split_name(part)[0] for part in get_new_name(name).split("/"))


def _counters(name: str) -> Tuple[int, ...]:
  return tuple(split_name(part)[1] for part in get_new_name(name).split("/"))


def guess_alias_map(
  wanted: Mapping[str, Sequence[int]], saved: Mapping[str, Sequence[int]]
) -> Optional[Dict[str, str]]:
  """Guesses which saved variables those are that the model names differently.

  First the rules of `add_mapping_rules`. Then names that differ in counters (`dense_12/kernel`, `dense/kernel`) or in
  repeated parts of the path: as many as there are on either side, in the order of their counters. Shapes must agree.

  Args:
    wanted: {name: shape} of the model's variables.
    saved: {name: shape} in the checkpoint.

  Returns:
    {new name: old name} of all that the checkpoint does not have under their own name, or None if one cannot be told.
  """
  missing = [name for name in wanted if name not in saved]
  found: Dict[str, str] = {}
  for name in missing:
    for pattern, replacement in _rules:
      old = re.sub(pattern, replacement, name)
      if old in saved and list(saved[old]) == list(wanted[name]):
        found.setdefault(name, old)
  taken = set(found.values())
  groups: Dict[Any, Tuple[List[str], List[str]]] = collections.defaultdict(lambda: ([], []))  # new, old
  for name in missing:
    if name not in found:
      groups[_pattern(name), tuple(wanted[name])][0].append(name)
  for name, shape in saved.items():
    if name not in wanted and name not in taken:
      groups[_pattern(name), tuple(shape)][1].append(name)
  for news, olds in groups.values():
    if not news:
      continue
    if len(news) != len(olds):
      return None
    found.update(zip(sorted(news, key=_counters), sorted(olds, key=_counters), strict=True))
  return found


def _old_name(name: str, alias_map: Mapping[str, str], saved: Mapping[str, Any]) -> str:
  """The saved name of a variable; an optimizer's state goes with the variable that its name starts with."""
  if name in alias_map or name in saved:
    return alias_map.get(name, name)
  owner = name
  while "/" in owner:
    owner = os.path.dirname(owner)
    if owner in alias_map:
      return alias_map[owner] + name[len(owner) :]
  return name


def calc_feed_dict(
  ckpt: str, alias_map: Mapping[str, str], placeholders: Sequence[tf.Tensor]
) -> Optional[Dict[tf.Tensor, np.ndarray]]:
  """Values for the placeholders of variables, some of which the checkpoint has under other names.

  Args:
    ckpt: path prefix of the checkpoint.
    alias_map: {new name: old name}, names without `/part_k`.
    placeholders: each with the attribute `origin_name`; parts of a variable share it, in the order of the parts.

  Returns:
    {placeholder: value}, a saved variable being cut along axis 0 into its parts; None if none of the placeholders is
    renamed.

  Raises:
    ValueError: the checkpoint lacks a variable, or its shape does not fit.
  """
  by_name: Dict[str, List[tf.Tensor]] = collections.defaultdict(list)
  for placeholder in placeholders:
    by_name[placeholder.origin_name].append(placeholder)
  if not any(name in alias_map for name in by_name):
    return None
  reader = tf.train.load_checkpoint(ckpt)
  saved = reader.get_variable_to_shape_map()
  feed: Dict[tf.Tensor, np.ndarray] = {}
  for name, parts in by_name.items():
    old = _old_name(name, alias_map, saved)
    if old not in saved:
      raise ValueError(f"{ckpt} has no variable {old!r} for the model's {name!r}; correct reload_alias_map.")
    feed.update(_cut(name, reader.get_tensor(old), parts, ckpt))
  return feed


def _cut(name: str, value: np.ndarray, parts: Sequence[tf.Tensor], ckpt: str) -> Iterable[Tuple[tf.Tensor, np.ndarray]]:
  shapes = [part.shape.as_list() for part in parts]
  whole = list(shapes[0])
  if len(parts) > 1:
    whole[0] = sum(shape[0] for shape in shapes)
  if list(value.shape) != whole:
    raise ValueError(f"{ckpt} holds {list(value.shape)} for the model's {name!r}, which is {whole}; correct the map.")
  if len(parts) == 1:
    return [(parts[0], value)]
  return zip(parts, np.split(value, np.cumsum([shape[0] for shape in shapes])[:-1]), strict=True)


class CustomRestore(NamedTuple):
  """What to do instead of the plain restore of one checkpoint."""

  ops: List[Any]
  """Run with the placeholders fed: assignments, or the initializers of all variables."""
  placeholders: List[tf.Tensor]
  alias_map: Optional[Dict[str, str]]
  """{new name: old name}; None where variables start afresh and only the placeholders come from the checkpoint."""
  checkpoint: str
  """Path prefix of the checkpoint that it is meant for."""
  marker: str
  """File that says that variables have started afresh."""

  def run(self, session: tf.compat.v1.Session, path: str) -> bool:
    """Restores `path`; False if it is for the plain restore."""
    if os.path.abspath(path) != os.path.abspath(self.checkpoint):
      return False
    if self.alias_map is None:
      session.run(self.ops[:1])
      reader = tf.train.load_checkpoint(path)
      session.run(self.ops[1:], {p: reader.get_tensor(p.origin_name) for p in self.placeholders})
      _checkpoint_files.atomic_write_text(self.marker, _identity(path))
      return True
    feed = calc_feed_dict(path, self.alias_map, self.placeholders)
    if feed is None:
      return False
    session.run(self.ops, feed)
    return True


def _identity(checkpoint: str) -> str:
  """Tells a checkpoint from a later one of the same step: the index holds the checksums of all values."""
  with tf.io.gfile.GFile(checkpoint + ".index", "rb") as file:
    return f"{os.path.basename(checkpoint)} {zlib.crc32(file.read()):08x}"


def custom_restore(graph: tf.Graph) -> Optional[CustomRestore]:
  """What a `CustomRestoreListener` of the graph has prepared."""
  prepared = graph.get_collection(CUSTOM_RESTORE_OP)
  return prepared[-1] if prepared else None


class CustomRestoreListener(CheckpointRestorerListener):
  """Prepares another restore of dense variables than by their names.

  Args:
    alias_map: {name of a variable in the model: its name in the checkpoint}.
    clear_nn: start with fresh dense variables, once: a marker `clear_nn` in model_dir says for which checkpoint that
      was done, and keeps it from being done again to a newer one.
    continue_training: keep the global step then.
    model_dir: directory of the checkpoints.
    enable_alias_map_auto_gen: guess the map if the checkpoint lacks some of the model's variables (None means True).

  Raises:
    ValueError: both clear_nn and alias_map are given, or continue_training without clear_nn.
  """

  def __init__(
    self,
    alias_map: Optional[Mapping[str, str]] = None,
    clear_nn: bool = False,
    continue_training: bool = False,
    model_dir: Optional[str] = None,
    enable_alias_map_auto_gen: Optional[bool] = None,
  ):
    if clear_nn and alias_map:
      raise ValueError("clear_nn starts with fresh variables and reload_alias_map with old ones; give one of them.")
    if continue_training and not clear_nn:
      raise ValueError("continue_training keeps the global step when clear_nn is set; set both, or none.")
    self._alias_map = dict(alias_map) if alias_map else None
    self._clear_nn = clear_nn
    self._continue_training = continue_training
    self._model_dir = model_dir
    self._guess = enable_alias_map_auto_gen is None or enable_alias_map_auto_gen

  def begin(self) -> None:
    if export_context.is_exporting() or self._model_dir is None:
      return
    checkpoint = _checkpoint_files.checkpoint_to_restore(self._model_dir)
    if checkpoint is None:
      return
    if self._clear_nn:
      prepared = self._fresh_variables(checkpoint)
    else:
      prepared = self._renamed_variables(checkpoint)
    if prepared is not None:
      tf.compat.v1.add_to_collection(CUSTOM_RESTORE_OP, prepared)

  def _fresh_variables(self, checkpoint: str) -> Optional[CustomRestore]:
    marker = self._marker()
    if tf.io.gfile.exists(marker):
      with tf.io.gfile.GFile(marker) as file:
        # The same checkpoint still: whatever cleared it has saved nothing since.
        if file.read().strip() != _identity(checkpoint):
          return None
    logging.info("Starting with fresh dense variables beside the tables of %s.", checkpoint)
    ops: List[Any] = [tf.compat.v1.global_variables_initializer()]
    placeholders: List[tf.Tensor] = []
    if self._continue_training:
      step = tf.compat.v1.train.get_global_step()
      placeholders, assigns = _placeholders_for([step])
      ops += assigns
    return CustomRestore(ops, placeholders, None, checkpoint, marker)

  def _renamed_variables(self, checkpoint: str) -> Optional[CustomRestore]:
    variables = tf.compat.v1.global_variables()
    alias_map = self._alias_map
    if alias_map is not None:
      unknown = sorted(set(alias_map) - {infer_variable_name(v.op.name) for v in variables})
      if unknown:
        raise ValueError(f"reload_alias_map renames {unknown}, but the model has no such variables; correct the map.")
    elif self._guess:
      alias_map = self._guessed(variables, checkpoint)
    if not alias_map:
      return None
    placeholders, assigns = _placeholders_for(variables)
    return CustomRestore(assigns, placeholders, alias_map, checkpoint, self._marker())

  def _marker(self) -> str:
    return os.path.join(self._model_dir or "", CLEAR_NN_MARKER)

  @staticmethod
  def _guessed(variables: Sequence[tf.Variable], checkpoint: str) -> Optional[Dict[str, str]]:
    saved = {name: shape for name, shape in tf.train.list_variables(checkpoint)}
    wanted: Dict[str, List[int]] = {}
    for variable in variables:
      name, shape = infer_variable_name(variable.op.name), variable.shape.as_list()
      if name in wanted:
        wanted[name][0] += shape[0]
      else:
        wanted[name] = shape
    if all(name in saved for name in wanted):
      return None
    guessed = guess_alias_map(wanted, saved)
    if guessed is not None:
      logging.warning("%s names variables differently; taking %s. Set reload_alias_map to decide.", checkpoint, guessed)
    return guessed


def _placeholders_for(variables: Sequence[tf.Variable]) -> Tuple[List[tf.Tensor], List[Any]]:
  placeholders, assigns = [], []
  for variable in variables:
    with tf.compat.v1.device(variable.device):
      placeholder = tf.compat.v1.placeholder(variable.dtype.base_dtype, variable.shape)
      placeholder.origin_name = infer_variable_name(variable.op.name)
      assigns.append(variable.assign(placeholder, read_value=False))
    placeholders.append(placeholder)
  return placeholders, assigns
