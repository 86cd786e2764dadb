# SPDX-License-Identifier: Apache-2.0
"""Settings of chains of filters."""

import pytest

from google.protobuf import text_format

from monolith.native_training.data.transform import transform_config_pb2 as pb
from monolith.native_training.data.transform import transforms as t


def test_protos():
  chain = t.Compose(
    [
      t.FilterByFid(has_fids=[1], filter_fids=[-1], select_fids=[2**64 - 2]),
      t.Compose([t.FilterByAction([2, 3])]),
      t.LogicalOr(t.FilterByLabel([0.5]), t.AddLabel("1,2:3:0.5;4::1", -1, 0.25)),
      t.FilterByValue("user_id", "in", ["a", b"b"], keep_empty=True),
      t.FilterByValue("sample_rate", "ge", 0.5),
      t.FilterByValue("uid", "eq", 2**64 - 1),
    ]
  )
  expected = text_format.Parse(
    """
    configs { basic_config { filter_by_fid {
      has_fids: 1 filter_fids: 18446744073709551615 select_fids: 18446744073709551614 } } }
    configs { basic_config { filter_by_action { has_actions: 2 has_actions: 3 } } }
    configs { logical_or_config {
      x { filter_by_label { thresholds: 0.5 } }
      y { add_label {
        task_label_configs { pos_actions: 1 pos_actions: 2 neg_actions: 3 sample_rate: 0.5 }
        task_label_configs { pos_actions: 4 sample_rate: 1 }
        negative_value: -1 new_sample_rate: 0.25 } } } }
    configs { basic_config { filter_by_value {
      field_name: "user_id" op: "in" string_operand: "a" string_operand: "b" keep_empty: true } } }
    configs { basic_config { filter_by_value {
      field_name: "sample_rate" op: "ge" float_operand: 0.5 keep_empty: false } } }
    configs { basic_config { filter_by_value { field_name: "uid" op: "eq" int_operand: -1 keep_empty: false } } }
    """,
    pb.TransformConfig(),
  )
  assert chain.as_proto() == expected
  assert t.Compose([]).as_proto() == pb.TransformConfig()
  assert t.FilterByFid().as_proto().configs[0].basic_config.filter_by_fid == pb.FilterByFidConfig()


@pytest.mark.parametrize(
  ("make", "words"),
  [
    (lambda: t.FilterByFid([2**64]), "has_fids has 18446744073709551616; a fid has 64 bits"),
    (lambda: t.FilterByLabel([]), "thresholds is empty"),
    (lambda: t.FilterByValue("age", "eq", 1), "field_name is 'age', which is not in line id"),
    (lambda: t.FilterByValue("uid", "eq", None), "operand is None and operand_filepath is None; give exactly one"),
    (lambda: t.AddLabel("1:2", 0, 1), "config is '1:2': '1:2' is not pos_actions:neg_actions:sample_rate"),
    (lambda: t.AddLabel(":2:1", 0, 1), "':2:1' needs a positive action, and a rate in"),
    (lambda: t.AddLabel("1:2:3", 0, 1), "'1:2:3' needs a positive action, and a rate in"),
    (lambda: t.AddLabel("1:2:1", 0, 0), r"new_sample_rate is 0; it must be in \(0, 1\]"),
    (
      lambda: t.LogicalOr(t.FilterByFid(), t.Compose([])),
      "LogicalOr: y is a Compose; give a single filter or AddLabel",
    ),
    (lambda: t.Compose([lambda x: x]), "Compose: <function .* is no transform"),
  ],
)
def test_refusals(make, words):
  with pytest.raises(ValueError, match=words):
    make()
