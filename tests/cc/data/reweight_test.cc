// SPDX-License-Identifier: Apache-2.0
#include "cc/data/reweight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cc/data/step_runs.h"

namespace monolith {
namespace testing {
namespace {

using data::MessageType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<data::RecordExpansion> New() {
  data::ReweightConfig config;
  config.actions = {2, 3, 4};
  config.weights = {3, 2, 5};
  config.labels = {-1, 1, 7};
  config.action_priority = {2, 3, 9};
  return data::NewReweight(MessageType::kExample, config);
}

struct Result {
  int64_t copies;
  std::vector<float> labels;
};

Result Reweighted(const std::vector<uint64_t>& before, const std::vector<uint64_t>& now,
                  const std::vector<float>& labels) {
  const std::string record = ExampleOf(PackedVarints(23, before) + PackedVarints(6, now), labels);
  Drawn none;
  const auto copies = New()->Run(record, &none);
  if (copies.empty()) return {0, labels};
  return {copies[0].count, Labels(MessageType::kExample, copies[0].made.value_or(record))};
}

TEST(ReweightTest, NothingHasHappened) {
  EXPECT_EQ(Reweighted({}, {}, {}).copies, 1);
  EXPECT_EQ(Reweighted({2}, {3}, {1}).copies, 0);
  EXPECT_EQ(Reweighted({5}, {4}, {1}).copies, 0) << "neither is listed";
  EXPECT_EQ(Reweighted({5}, {}, {1}).copies, 0);
}

TEST(ReweightTest, WeightsOfTheBestAndOfTheUnlisted) {
  const Result best = Reweighted({}, {3, 2}, {0, 4});
  EXPECT_EQ(best.copies, 3);
  EXPECT_THAT(best.labels, ElementsAre(-1, 4));
  EXPECT_EQ(Reweighted({}, {2, 4, 8}, {0}).copies, 15);
  const Result unlisted = Reweighted({}, {4}, {6});
  EXPECT_EQ(unlisted.copies, 5);
  EXPECT_THAT(unlisted.labels, ElementsAre(6)) << "only a listed action has a label";
}

TEST(ReweightTest, WhatWasTrainedBefore) {
  EXPECT_EQ(Reweighted({3}, {2}, {0}).copies, 5) << "another label: both";
  const Result same = Reweighted({9}, {3}, {0});
  EXPECT_EQ(same.copies, 2) << "9 has no label";
  data::ReweightConfig config;
  config.actions = {2, 3};
  config.weights = {3, 5};
  config.labels = {1, 1};
  config.action_priority = {2, 3};
  const std::string record = ExampleOf(PackedVarints(23, {3}) + PackedVarints(6, {2}), {0});
  Drawn none;
  const auto copies = data::NewReweight(MessageType::kExample, config)->Run(record, &none);
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0].count, 2);
  EXPECT_THAT(Labels(MessageType::kExample, copies[0].made.value()), ElementsAre(-1))
      << "more was trained than counts now";
}

TEST(ReweightTest, LabelsThatAreMissing) {
  EXPECT_EQ(Reweighted({}, {4}, {}).copies, 0);
  const Result made = Reweighted({}, {2}, {});
  EXPECT_EQ(made.copies, 3);
  EXPECT_THAT(made.labels, ElementsAre(-1));
}

TEST(ReweightTest, CountsDoNotOverflow) {
  data::ReweightConfig config;
  config.actions = {4};
  config.weights = {int64_t{1} << 31};
  config.labels = {0};
  const std::string record = ExampleOf(WithActions(std::vector<uint64_t>(100, 4)), {0});
  Drawn none;
  EXPECT_EQ(data::NewReweight(MessageType::kExample, config)->Run(record, &none).at(0).count, int64_t{1} << 40);
}

TEST(ReweightTest, Refusals) {
  data::ReweightConfig config;
  config.actions = {4};
  config.weights = {-1};
  config.labels = {0};
  EXPECT_THAT(Refusal([&] { data::NewReweight(MessageType::kExample, config); }), HasSubstr("weight -1 for action 4"));
  config.labels = {};
  EXPECT_THAT(Refusal([&] { data::NewReweight(MessageType::kExample, config); }), HasSubstr("give one of each"));
  EXPECT_THAT(Refusal([&] { data::NewReweight(MessageType::kExampleBatch, {}); }),
              HasSubstr("use instance or example"));
}

}  // namespace
}  // namespace testing
}  // namespace monolith
