# SPDX-License-Identifier: Apache-2.0
"""Lines of messages, and the files they go to."""

from __future__ import annotations

import json
import pathlib

import pytest

from monolith.native_training.metric import _message_files, metric_hook


@pytest.mark.parametrize(
  "item, expected",
  [('{"a": [1]}', {"a": [1]}), (b'{"a": null}', {"a": None}), ({"a": 1}, {"a": 1}), (7, 7)],
)
def test_default_parse(item, expected):
  assert metric_hook.default_parse_fn(item) == expected


def test_default_parse_refuses_other_text():
  with pytest.raises(ValueError):
    metric_hook.default_parse_fn("{")


@pytest.mark.parametrize(
  "item, expected", [("a;b", "a;b"), ({"a": [1.5]}, '{"a": [1.5]}'), ({1}, "{1}"), (b"x", "b'x'")]
)
def test_default_layout(item, expected):
  assert metric_hook.default_layout_fn(item) == expected


def test_default_layout_of_a_circle():
  circle = []
  circle.append(circle)
  assert metric_hook.default_layout_fn(circle) == "[[...]]"


def _record(**changes):
  return {"model_name": "m", "req_time": "20220927", "predict": {"ctr": 0.25}, "label": {"ctr": 1}} | changes


def test_layout():
  record = _record(extra_str={"userid": "1854"})
  assert metric_hook.vepfs_layout_fn(record) == '20220927;gid;1854;{"ctr": 0.25};{"ctr": 1}'


@pytest.mark.parametrize(
  "changes, expected",
  [
    ({"uid": 7}, "20220927;gid;7"),
    ({}, "20220927;gid;uid"),
    ({"uid": 7, "extra_int": {"userid": 8, "feedid": 0}}, "20220927;0;8"),
    ({"extra_int": {"__UID__": 9, "gid": 3}, "extra_str": {"userid": "8"}}, "20220927;3;9"),
    ({"gid": 4, "userid": "5"}, "20220927;4;5"),
    ({"extra_str": {"__FEED_ID__": "f", "feedid": "g", "__REQ_TIME__": "20240101"}}, "20240101;f;uid"),
    ({"req_time": 1664236800, "extra_float": None}, "1664236800;gid;uid"),
  ],
)
def test_which_fields_the_layout_takes(changes, expected):
  line = metric_hook.vepfs_layout_fn(_record(**changes))
  assert line == expected + ';{"ctr": 0.25};{"ctr": 1}'


def test_layout_refuses_what_is_no_message():
  with pytest.raises(KeyError, match="no req_time, which says its day, but .*label.*predict.*key_fn"):
    metric_hook.vepfs_layout_fn({"predict": 1, "label": 1})
  with pytest.raises(KeyError, match="label"):
    metric_hook.vepfs_layout_fn({"req_time": "20220927", "predict": 1})


@pytest.mark.parametrize(
  "req_time, date",
  [
    ("20220927", "20220927"),
    (20220927, "20220927"),
    ("2022-09-27 10:00:00", "20220927"),
    ("2022/09/27", "20220927"),
    ("20220927T10", "20220927"),
    ("20220927101112", "20220927"),
    (1664236799, "20220926"),
    (1664236800, "20220927"),
    ("1664236800", "20220927"),
    (1664236800_123, "20220927"),
    (1664236800_123456, "20220927"),
  ],
)
def test_directories(req_time, date):
  assert metric_hook.vepfs_key_fn(_record(req_time=req_time), 0, "base") == f"base/m/{date}/worker_0"


@pytest.mark.parametrize("req_time", ["yesterday", 5, "2022092", "202209271"])
def test_times_that_are_none(req_time):
  with pytest.raises(ValueError, match=f"req_time is '{req_time}'; give a date"):
    metric_hook.vepfs_key_fn(_record(req_time=req_time), 0, "base")


def test_a_directory_needs_a_model():
  with pytest.raises(KeyError, match="model_name"):
    metric_hook.vepfs_key_fn({"req_time": "20220927"}, 0, "base")


def _parts(directory):
  return {path.name: path.read_text().splitlines() for path in sorted(pathlib.Path(directory).iterdir())}


def test_parts_are_full_but_the_last(tmp_path):
  file = metric_hook.WriteOnlyFileAndStat(str(tmp_path / "new"), batch_size=4, partition_size=6)
  for i in range(14):
    file.write(i)
  assert sum(map(len, _parts(tmp_path / "new").values())) == 12  # two wait
  file.close()
  expected = [str(i) for i in range(14)]
  names = [f"part_{i:06d}.txt" for i in range(3)]
  assert _parts(tmp_path / "new") == {name: expected[i * 6 : i * 6 + 6] for i, name in enumerate(names)}
  file.close()
  file.write("more")
  file.close()
  assert _parts(tmp_path / "new")["part_000003.txt"] == ["more"]


def test_a_batch_of_several_parts(tmp_path):
  file = metric_hook.WriteOnlyFileAndStat(str(tmp_path), batch_size=5, partition_size=2, file_ext="log")
  for i in range(5):
    file.write(i)
  file.close()
  assert _parts(tmp_path) == {"part_000000.log": ["0", "1"], "part_000001.log": ["2", "3"], "part_000002.log": ["4"]}


def test_a_restart_keeps_the_parts_that_are_there(tmp_path):
  (tmp_path / "part_000004.txt").write_text("old\n")
  (tmp_path / "part_000009.log").write_text("other\n")
  file = metric_hook.WriteOnlyFileAndStat(str(tmp_path), lambda item: json.dumps([item]))
  file.write(1)
  file.close()
  assert _parts(tmp_path) == {
    "part_000004.txt": ["old"],
    "part_000005.txt": ["[1]"],
    "part_000009.log": ["other"],
  }


def test_without_lines_there_is_no_file(tmp_path):
  metric_hook.WriteOnlyFileAndStat(str(tmp_path / "new")).close()
  assert not (tmp_path / "new").exists()


def test_activity(tmp_path):
  now = [0.0]
  file = metric_hook.WriteOnlyFileAndStat(str(tmp_path), clock=lambda: now[0])
  now[0] = 24 * 3600 - 1
  assert file.is_available()
  now[0] += 1
  assert not file.is_available()
  file.write("a")
  assert file.is_available()


def test_lines_that_cannot_be_written_are_counted(tmp_path):
  (tmp_path / "file").write_text("")
  file = metric_hook.WriteOnlyFileAndStat(str(tmp_path / "file"), batch_size=3)
  file.write("a")
  file.write("b")
  with pytest.raises(_message_files.LinesLostError, match="3 lines could not be written below .*file; is it") as caught:
    file.write("c")
  assert caught.value.num_lines == 3
  (tmp_path / "file").unlink()
  file.write("d")
  file.close()
  assert _parts(tmp_path / "file") == {"part_000000.txt": ["d"]}


@pytest.mark.parametrize("kwargs", [{"batch_size": 0}, {"partition_size": 0}])
def test_sizes_are_at_least_1(kwargs):
  with pytest.raises(ValueError, match=f"{next(iter(kwargs))} (is )?0"):
    metric_hook.WriteOnlyFileAndStat("unused", **kwargs)
