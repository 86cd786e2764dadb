# SPDX-License-Identifier: Apache-2.0
"""Runs a program's `main` in this process, and takes its flags away again."""

from absl import flags


def run_main(module, *arguments):
  """`module.main` after `module.define_flags`, with the command line's arguments, flags and others."""
  before = set(flags.FLAGS)
  try:
    module.define_flags()
    module.main(flags.FLAGS(["program", *arguments]))
  finally:
    for name in set(flags.FLAGS) - before:
      delattr(flags.FLAGS, name)
