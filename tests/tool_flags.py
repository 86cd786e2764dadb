# SPDX-License-Identifier: Apache-2.0
"""Runs a program's `main` in this process, and leaves flags as they were."""

from absl import flags
from absl.testing import flagsaver


def run_main(module, *arguments):
  """`module.main` after `module.define_flags`, with the command line's arguments, flags and others."""
  was_parsed = flags.FLAGS.is_parsed()
  saved = flagsaver.save_flag_values()
  try:
    module.define_flags()
    module.main(flags.FLAGS(["program", *arguments]))
  finally:
    flagsaver.restore_flag_values(saved)
    if not was_parsed:
      flags.FLAGS.unparse_flags()
