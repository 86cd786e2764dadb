# SPDX-License-Identifier: Apache-2.0
"""Tests of flags for the fields of dataclasses."""

from __future__ import annotations

import dataclasses
import enum
from typing import Callable, List, Optional

import pytest
from absl import flags

from monolith.native_training import gflags_utils

FLAGS = flags.FLAGS


@pytest.fixture(name="command_line", autouse=True)
def _command_line():
  """Parses a command line; afterwards its flags, and those that the test defined, are gone."""
  known = set(FLAGS)
  if not FLAGS.is_parsed():
    FLAGS.mark_as_parsed()

  def parse(*arguments):
    FLAGS(["program", *arguments])

  yield parse
  for name in set(FLAGS) - known:
    delattr(FLAGS, name)


class _Kind(enum.Enum):
  FIRST_KIND = 1
  SECOND_KIND = 2


@dataclasses.dataclass
class _Base:
  """Something.

  :param gf_int: an integer whose
    text goes on.
  :param str gf_text: a text.
  """

  gf_int: int = 0
  gf_text: Optional[str] = None


@dataclasses.dataclass
class _Config(_Base):
  """More.

  :param gf_text: another text.
  :param gf_rate: a rate.
  :param gf_on: a switch.
  :param gf_kind: a kind.
  :param gf_fn: no flag can hold it.
  """

  gf_rate: float = 0.5
  gf_on: bool = False
  gf_kind: _Kind = _Kind.FIRST_KIND
  gf_fn: Optional[Callable[[], int]] = None
  gf_list: Optional[List[int]] = None
  gf_undocumented: int = 3


def test_help():
  assert gflags_utils.extract_help_info(_Config) == {
    "gf_int": "an integer whose text goes on.",
    "gf_text": "another text.",
    "gf_rate": "a rate.",
    "gf_on": "a switch.",
    "gf_kind": "a kind.",
    "gf_fn": "no flag can hold it.",
  }
  assert "gf_int" not in gflags_utils.extract_help_info(_Config, is_nested=False)


def test_flags_of_all_kinds(command_line):
  gflags_utils.extract_flags(_Config)
  for name in ("gf_fn", "gf_list", "gf_undocumented"):
    assert name not in FLAGS
  command_line("--gf_int=7", "--gf_text=x", "--gf_rate=0.25", "--gf_on", "--gf_kind=second_kind")
  config = _Config()
  gflags_utils.update(config)
  assert config == _Config(7, "x", 0.25, True, _Kind.SECOND_KIND)
  assert FLAGS["gf_int"].help == "an integer whose text goes on."


def test_what_code_says_counts_more(command_line):
  gflags_utils.extract_flags(_Config)
  command_line("--gf_int=2", "--gf_rate=3")
  config = _Config(gf_int=1)
  gflags_utils.update(config)
  assert (config.gf_int, config.gf_rate) == (1, 3.0)


def test_flags_that_exist_and_those_of_scripts(command_line):
  flags.DEFINE_integer("gf_int", 5, "mine")
  gflags_utils.extract_flags_decorator(remove_flags=["gf_rate"])(_Config)
  assert FLAGS["gf_int"].help == "mine" and "gf_rate" not in FLAGS
  flags.DEFINE_string("gf_text", "y", "a script's own")
  config = _Config()
  gflags_utils.update(config)
  # A default is nobody's wish.
  assert (config.gf_int, config.gf_text) == (0, None)


def test_own_fields_only():
  gflags_utils.extract_flags(_Config, is_nested=False)
  assert "gf_int" not in FLAGS and "gf_rate" in FLAGS


def test_links(command_line):
  flags.DEFINE_string("gf_linked", "a", "help")

  @gflags_utils.LinkDataclassToFlags(linked_map={"gf_text": "gf_linked"})
  @dataclasses.dataclass
  class Linked(_Base):
    pass

  @dataclasses.dataclass
  class Derived(Linked):
    pass

  for cls in (Linked, Derived):
    assert cls().gf_text == "a" and cls(gf_text="v").gf_text == "v"
  command_line("--gf_linked=b")
  assert Derived().gf_text == "b"
  with pytest.raises(ValueError, match=r"_Base has no fields \['nothing'\]"):
    gflags_utils.LinkDataclassToFlags(linked_list=["nothing"])(_Base)
  with pytest.raises(ValueError, match="flag 'gf_int', which nobody has defined"):
    gflags_utils.LinkDataclassToFlags(linked_list=["gf_int"])(dataclasses.dataclass(type("Fresh", (_Base,), {})))()


def test_runner_config_comes_from_the_command_line(command_line):
  from monolith.native_training import runner_utils
  from monolith.native_training.service_discovery import ServiceDiscoveryType

  for name in ("device_fn", "reload_alias_map", "use_dataservice", "profile_save_steps_interval"):
    assert name not in FLAGS
  names = ("model_dir", "model_name", "num_ps", "clear_nn", "discovery_type")
  before = {name: (FLAGS[name].value, FLAGS[name].present, FLAGS[name].using_default_value) for name in names}
  try:
    command_line("--model_dir=d", "--model_name=m", "--num_ps=3", "--clear_nn", "--discovery_type=zk")
    config = runner_utils.RunnerConfig(num_ps=2)
    assert (config.model_dir, config.model_name, config.num_ps, config.clear_nn) == ("d", "m", 2, True)
    assert config.discovery_type is ServiceDiscoveryType.ZK
  finally:
    for name, (value, present, is_default) in before.items():
      FLAGS[name].value, FLAGS[name].present, FLAGS[name].using_default_value = value, present, is_default
