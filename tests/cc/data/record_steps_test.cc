// SPDX-License-Identifier: Apache-2.0
// Filters and changes of records, on Instances and Examples alike.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cc/data/column_values.h"
#include "cc/data/fid_filter.h"
#include "cc/data/head_labels.h"
#include "cc/data/label_filter.h"
#include "cc/data/label_tasks.h"
#include "cc/data/label_values.h"
#include "cc/data/sampling.h"
#include "cc/data/value_filter.h"
#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using data::kInvalidLabel;
using data::MessageType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RecordStepsTest : public ::testing::TestWithParam<MessageType> {
 protected:
  std::string Record(const std::string& line_id, const std::vector<float>& labels = {}) const {
    return GetParam() == MessageType::kInstance ? InstanceOf(line_id, labels) : ExampleOf(line_id, labels);
  }
  std::vector<float> After(const data::RecordChange& change, const std::string& record,
                           std::vector<double> draws = {}) const {
    return Labels(GetParam(), Applied(change, record, std::move(draws)));
  }
};

INSTANTIATE_TEST_SUITE_P(Types, RecordStepsTest, ::testing::Values(MessageType::kInstance, MessageType::kExample),
                         [](const auto& info) { return std::string(data::NameOf(info.param)); });

TEST_P(RecordStepsTest, FidsOfTheRecord) {
  const Fids fids = {V1(1, 1), V1(2, 2)};
  const std::string record = GetParam() == MessageType::kInstance ? Packed(1, fids) : Column("x", FidV1Feature(fids));
  const auto keeps = [&](const data::FidFilterConfig& config) {
    return Keeps(*data::NewFidFilter(GetParam(), config), record);
  };
  data::FidFilterConfig config;
  EXPECT_TRUE(keeps(config));
  config.select_fids = {fids[1], fids[0], fids[1]};
  config.has_fids = {7, fids[0]};
  config.select_slots = {1, 2, 2};
  EXPECT_TRUE(keeps(config));
  config.filter_fids = {fids[0]};
  EXPECT_FALSE(keeps(config)) << "a fid may be wanted and unwanted";
  config.filter_fids = {};
  config.select_slots = {3};
  EXPECT_FALSE(keeps(config));
}

TEST_P(RecordStepsTest, TimeAndActions) {
  data::FidFilterConfig config;
  config.req_time_min = int64_t{1} << 40;
  const auto filter = data::NewFidFilter(GetParam(), config);
  EXPECT_TRUE(Keeps(*filter, Record(VarintField(3, uint64_t{1} << 40))));
  EXPECT_FALSE(Keeps(*filter, Record(VarintField(3, (uint64_t{1} << 40) - 1))));
  config.req_time_min = 0;
  config.has_actions = {-1, 5};
  EXPECT_TRUE(Keeps(*data::NewFidFilter(GetParam(), config), Record(VarintField(6, ~uint64_t{0}))));
  EXPECT_FALSE(Keeps(*data::NewFidFilter(GetParam(), config), Record("")));
}

TEST_P(RecordStepsTest, StrategiesDrawOnlyWhereTheyMust) {
  const auto filter = data::NewSpecialStrategy(GetParam(), {{7, 8}, "7:0.25", true});
  const std::string record = Record(PackedVarints(39, {8, 7}));
  for (const double draw : {0.0, 0.2499, 0.25, 0.99}) {
    Drawn drawn({draw});
    EXPECT_EQ(filter->Keep(record, &drawn), draw < 0.25);
    EXPECT_EQ(drawn.used(), 1u);
  }
  EXPECT_TRUE(Keeps(*filter, Record(PackedVarints(39, {8})))) << "no rate, no draw";
  EXPECT_FALSE(Keeps(*filter, Record(PackedVarints(39, {9}))));
  EXPECT_TRUE(Keeps(*filter, Record("")));
  EXPECT_FALSE(Keeps(*data::NewSpecialStrategy(GetParam(), {{7}, "", false}), Record("")));
}

TEST_P(RecordStepsTest, NegativesDrawAtTheirRate) {
  data::NegativeSampleConfig config;
  config.drop_rate = 0.75f;
  config.threshold = 0.5f;
  config.action_priority = {-2, 3};
  config.per_action_drop_rate = "-2:1,3:0";
  const auto filter = data::NewNegativeSample(GetParam(), config);
  EXPECT_TRUE(Keeps(*filter, Record("", {0.5f}))) << "a positive";
  EXPECT_FALSE(Keeps(*filter, Record(WithActions({3, ~uint64_t{1}}), {0}))) << "actions below 0 count";
  EXPECT_TRUE(Keeps(*filter, Record(WithActions({3}), {0})));
  for (const double draw : {0.74, 0.75}) {
    Drawn drawn({draw});
    EXPECT_EQ(filter->Keep(Record(WithActions({9}), {0}), &drawn), draw >= 0.75);
  }
  EXPECT_THAT(Refusal([&] { Keeps(*filter, Record("")); }), HasSubstr("label_index is 0, but a record has 0 labels"));
}

TEST_P(RecordStepsTest, LabelsOfTasks) {
  const auto change = data::NewAddLabel(GetParam(), data::ReadLabelTasks("1,2:3:1.0;4::0.5;"), -1, 0.5f);
  EXPECT_THAT(After(*change, Record(WithActions({1, 2, 4}))), ElementsAre(1, 1));
  EXPECT_THAT(After(*change, Record(WithActions({1})), {0.4}), ElementsAre(1, -1));
  EXPECT_THAT(After(*change, Record(WithActions({1})), {0.5}), ElementsAre(1, kInvalidLabel));
  EXPECT_THAT(After(*change, Record(WithActions({3, 4}), {0, 9})), ElementsAre(kInvalidLabel, 9, -1, 1));
  EXPECT_THAT(After(*change, Record("", {2}), {0}), ElementsAre(2, kInvalidLabel, -1));
}

TEST_P(RecordStepsTest, LabelsOfHeads) {
  const auto scatter = data::NewScatterLabel(GetParam(), " 100:3, 200:1");
  EXPECT_THAT(After(*scatter, Record(VarintField(19, 200), {5, 6})),
              ElementsAre(kInvalidLabel, 5, kInvalidLabel, kInvalidLabel));
  data::MultiLabelConfig config;
  config.head_field = "device_type";
  config.heads = {"a", ""};
  config.indices = {1, 0};
  config.num_labels = 3;
  config.pos_actions = {2};
  config.neg_actions = {1};
  const auto first = data::NewMultiLabelGen(GetParam(), config);
  EXPECT_THAT(After(*first, Record(Field(41, "a") + WithActions({1, 2}))),
              ElementsAre(kInvalidLabel, 0, kInvalidLabel));
  EXPECT_THAT(After(*first, Record(WithActions({3}))), ElementsAre(kInvalidLabel, kInvalidLabel, kInvalidLabel));
  config.action_priority = {2, 1};
  const auto best = data::NewMultiLabelGen(GetParam(), config);
  EXPECT_THAT(After(*best, Record(WithActions({1, 2}))), ElementsAre(1, kInvalidLabel, kInvalidLabel));
}

TEST_P(RecordStepsTest, ValuesOfLabels) {
  EXPECT_THAT(After(*data::NewLabelUpperBound(GetParam(), {1, 2}), Record("", {5, 1, 5})), ElementsAre(1, 1, 5));
  EXPECT_THAT(After(*data::NewLabelUpperBound(GetParam(), {1, 2}), Record("", {5})), ElementsAre(5));
  const auto integers = data::NewLabelNormalization(GetParam(), {"scale2int", "pow"}, {2, 2});
  EXPECT_THAT(After(*integers, Record("", {5, -3, kInvalidLabel})), ElementsAre(9, 0, kInvalidLabel));
  const auto field = data::NewUseFieldAsLabel(GetParam(), "rank", true, 10);
  EXPECT_THAT(After(*field, Record(VarintField(145, 9), {0, 11})), ElementsAre(9, 11));
  EXPECT_THAT(After(*field, Record(VarintField(145, 10), {-1, 11})), ElementsAre(0, 11));
  const auto rank = data::NewFillMultiRankOutput(GetParam(), data::RankSource::kChannel, 18);
  EXPECT_THAT(After(*rank, Record(VarintField(19, 5))), ElementsAre(2));
}

TEST_P(RecordStepsTest, ARecordThatStaysIsNotCopied) {
  Drawn none;
  std::string changed = "untouched";
  const data::LineIdTest test("uid", "eq", {{}, {1}, {}}, false);
  EXPECT_FALSE(data::NewAddAction(GetParam(), test, 1)->Apply(Record(""), &none, &changed));
  EXPECT_FALSE(data::NewLabelUpperBound(GetParam(), {1})->Apply(Record("", {1}), &none, &changed));
  EXPECT_FALSE(data::NewSpecialStrategyLabel(GetParam(), {{1}, "1:1:5", true})->Apply(Record(""), &none, &changed));
  EXPECT_EQ(changed, "untouched");
}

TEST(RecordStepsRefusalTest, BatchesHaveNoLabels) {
  const auto type = MessageType::kExampleBatch;
  for (const std::string& refusal :
       {Refusal([&] { data::NewFidFilter(type, {}); }), Refusal([&] { data::NewLabelFilter(type, {1}, false); }),
        Refusal([&] { data::NewScatterLabel(type, "1:1"); }), Refusal([&] { data::NewLabelUpperBound(type, {1}); })}) {
    EXPECT_EQ(refusal, "variant_type is ExampleBatch; use instance or example.");
  }
}

TEST(ColumnValueFilterTest, TheLastOfANameAndItsOnlyValue) {
  const auto filter = [](bool keep_empty) {
    return data::NewColumnValueFilter("x", "float", "eq", {{2}, {}, {}}, keep_empty);
  };
  const std::string two = Column("x", FloatFeature({2})), one = Column("x", FloatFeature({1}));
  EXPECT_TRUE(Keeps(*filter(false), one + two));
  EXPECT_FALSE(Keeps(*filter(true), two + one));
  for (const std::string& odd : {std::string(), Column("x", ""), Column("x", FloatFeature({2, 2})),
                                 Column("x", FloatFeature({})), Column("x", BytesFeature("2")), Column("y", "")}) {
    EXPECT_FALSE(Keeps(*filter(false), odd));
    EXPECT_TRUE(Keeps(*filter(true), odd)) << "without an index of -1";
  }
}

}  // namespace
}  // namespace testing
}  // namespace monolith
