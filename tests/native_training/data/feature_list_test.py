# SPDX-License-Identifier: Apache-2.0
"""Lists of features."""

import pytest

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import flags

from monolith.native_training.data import feature_list, utils
from monolith.native_training.data.feature_list import FeatureList

TEXT = """
# columns first
column_name : label,user
column_name: city
cache_column: city
feed feed_name=user; shared=true; feature_id=3
cache cache_column=city; cache_name=c; capacity=100; timeout=60; cache_type=lru; cache_key_class=K

feature_name=f_city; depend=city; slot=310; shared=true
feature_name=fc_hour, method=HourOf slot=311; args="a", b; input_optional=true,no, unknown_key=3; feature_version=2
feature_name=f_city-f_hour; depend=f_city,fc_hour; slot=312; need_raw=Y
feature_name=fc_a-fc_b; slot=310; feature_group=x,y; cache_keys=k
feature_name=f_big; slot=40000
"""


@pytest.fixture
def path(tmp_path):
  path = tmp_path / "feature_list.conf"
  path.write_text(TEXT)
  return str(path)


@pytest.fixture
def features(path):
  return FeatureList.parse(path)


def test_entries(features):
  assert features.column_name == ["label", "user", "city"]
  assert features.cache_columns == ["city"]
  assert features.feeds["user"] == feature_list.Feed("user", True, 3)
  assert features.caches["c"] == feature_list.Cache("city", "c", 100, 60, "lru", "K")
  city = features["f_city"]
  assert (city.feature_name, city.depend, city.slot, city.shared, city.method) == ("f_city", ["city"], 310, True, None)
  hour = features["fc_hour"]
  assert (hour.method, hour.slot, hour.args, hour.feature_version) == ("HourOf", 311, ["a", "b"], 2)
  assert hour.input_optional == [True, False]
  assert str(city) == "feature_name=f_city;depend=city;slot=310;shared=true"
  assert len(features) == 5 and [f.slot for f in features] == [310, 311, 312, 310, 40000]


def test_names_and_slots(features):
  assert features[310].feature_name == "f_city"
  assert [f.feature_name for f in features.get_with_slot(310)] == ["f_city", "fc_a-fc_b"]
  assert features.get_with_slot(1) == []
  assert features["city"].slot == 310 and features["hour"].slot == 311
  assert features["city-hour"].slot == 312 and features["a-b"].slot == 310
  assert "city" in features and 311 in features and "town" not in features and 7 not in features
  assert features.get("town") is None and features.get(7, features["city"]).slot == 310
  with pytest.raises(KeyError, match="no feature of name 'town'; it has 5"):
    features["town"]
  with pytest.raises(KeyError, match="no feature of slot 7"):
    features[7]


def test_prefixes(features):
  assert [f.name for f in features] == ["city", "hour", "city-hour", "a-b", "big"]
  assert features["city-hour"].depend_strip_prefix == ["city", "hour"]


def test_other_names_and_one_reading(path):
  assert FeatureList.parse(path) is FeatureList.parse(path)
  by_name = FeatureList.parse(path, use_old_name=False)
  assert set(by_name.features) == {"city", "hour", "city-hour", "a-b", "big"}
  assert by_name["city-hour"].feature_name == "f_city-f_hour"


def test_it_enters_itself_in_the_graph(tmp_path):
  path = tmp_path / "other.conf"
  path.write_text("feature_name=f_x; slot=1\n")
  with tf.Graph().as_default() as graph:
    features = FeatureList.parse(str(path))
    assert graph.get_collection("feature_list") == [features]


def test_errors(tmp_path):
  path = tmp_path / "bad.conf"
  path.write_text("feature_name=f_x; slot=1\nfeature_name=f_y; slot=one\n")
  with pytest.raises(ValueError, match="bad.conf:2: 'feature_name=f_y; slot=one' is no entry"):
    FeatureList.parse(str(path))
  path.write_text("slot=1\n")
  with pytest.raises(ValueError, match="bad.conf:1: .* has no feature_name"):
    FeatureList.parse(str(path))
  with pytest.raises(ValueError, match="give fname or set the flag feature_list"):
    FeatureList.parse()


@pytest.fixture
def example_batches(path, monkeypatch):
  for name in ("data_type", "feature_list"):
    if name not in flags.FLAGS:
      flags.DEFINE_string(name, None, "Defined by a test.")
  monkeypatch.setattr(flags.FLAGS["data_type"], "_value", "example_batch")
  monkeypatch.setattr(flags.FLAGS["feature_list"], "_value", path)
  monkeypatch.setattr(feature_list, "_VALID", set())


@pytest.mark.usefixtures("example_batches")
def test_wanted_columns(monkeypatch):
  assert feature_list.is_example_batch()
  feature_list.add_feature("user")
  feature_list.add_feature([311, "label"])
  assert feature_list.get_valid_features() == ["fc_hour", "label", "user"]
  monkeypatch.setattr(flags.FLAGS["data_type"], "_value", "examplebatch")
  assert feature_list.is_example_batch()
  monkeypatch.setattr(flags.FLAGS["data_type"], "_value", "example")
  feature_list.add_feature("ignored")
  assert "ignored" not in feature_list.get_valid_features()


@pytest.mark.usefixtures("example_batches")
def test_columns_of_fids():
  feature_list.add_feature_by_fids([(310 << 54) | 5, (312 << 48) | 7])
  assert feature_list.get_valid_features() == ["f_city", "f_city-f_hour", "fc_a-fc_b"]
  # A v1 fid of slot 512 or more has bit 63 set; as an int64 it is negative.
  wide = FeatureList([], {}, {}, {"f_wide": feature_list.Feature(feature_name="f_wide", slot=600)})
  feature_list.add_feature_by_fids((600 << 54) | 1, wide)
  assert "f_wide" in feature_list.get_valid_features()
  feature_list.add_feature_by_fids(((600 << 54) | 1) - 2**64, wide)
  with pytest.raises(ValueError, match=r"is of slot 599 \(version 1\)"):
    feature_list.add_feature_by_fids((599 << 54) | 1, wide)


@pytest.mark.usefixtures("example_batches")
def test_names_and_slots_come_from_the_list():
  assert utils.get_feature_name_and_slot(310) == ("f_city", 310)
  assert utils.get_feature_name_and_slot("city") == ("city", 310)
  assert utils.get_feature_name_and_slot(77)[1] == 77
