// SPDX-License-Identifier: Apache-2.0
// One constructed batch through sharding, layouts and the way back, and inputs that point to where nothing is.
#include "cc/distribution/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "cc/data/data_error.h"
#include "cc/data/proto_writer.h"
#include "cc/distribution/shard_fids.h"

namespace monolith::distribution {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

void PutEntry(std::string* out, uint32_t field, const std::string& key, const std::string& value) {
  std::string entry;
  data::PutBytesField(&entry, 1, key);
  data::PutBytesField(&entry, 2, value);
  data::PutBytesField(out, field, entry);
}

std::string Feature(const std::string& table, const std::vector<int>& dims, Pooling pooling, int length) {
  std::string feature;
  data::PutBytesField(&feature, 1, table);
  data::PutVarintField(&feature, 2, static_cast<uint64_t>(pooling));
  for (const int dim : dims) data::PutVarintField(&feature, 3, dim);
  data::PutVarintField(&feature, 4, length);
  return feature;
}

std::string Out(OutType type, const std::vector<std::tuple<std::string, int, int>>& slices) {
  std::string out;
  for (const auto& [feature, start, end] : slices) {
    std::string slice;
    data::PutBytesField(&slice, 1, feature);
    data::PutVarintField(&slice, 2, start);
    data::PutVarintField(&slice, 3, end);
    data::PutBytesField(&out, 1, slice);
  }
  data::PutVarintField(&out, 2, static_cast<uint64_t>(type));
  return out;
}

std::string Configs() {
  std::string configs;
  PutEntry(&configs, 1, "a", Feature("t1", {1, 2}, Pooling::kSum, 0));
  PutEntry(&configs, 1, "b", Feature("t1", {1, 2}, Pooling::kMean, 0));
  PutEntry(&configs, 1, "c", Feature("t2", {2}, Pooling::kFirstN, 2));
  PutEntry(&configs, 2, "vec", Out(OutType::kAddN, {{"a", 1, 3}, {"b", 1, 3}}));
  PutEntry(&configs, 2, "seq", Out(OutType::kNone, {{"c", 0, 2}}));
  PutEntry(&configs, 2, "bias", Out(OutType::kConcat, {{"a", 0, 1}, {"b", 0, 1}}));
  return configs;
}

// The order of the units must not matter.
void Backwards(int64_t units, const std::function<void(int64_t)>& work) {
  for (int64_t unit = units - 1; unit >= 0; --unit) work(unit);
}

class LayoutTest : public ::testing::Test {
 protected:
  LayoutTest() {
    const int64_t a[] = {2, 3, 2}, b[] = {4, 4, 5}, c[] = {7, 8, 9};
    const int64_t a_splits[] = {0, 2, 3}, b_splits[] = {0, 1, 3}, c_splits[] = {0, 3, 3};
    sharded_ = ShardFids(config_, {{a, a_splits, 2, false}, {b, b_splits, 2, false}, {c, c_splits, 2, false}}, 2, true,
                         Backwards);
    for (const auto& list : embeddings_) inputs_.embeddings.emplace_back(list.data(), list.size());
    inputs_.fid_offset = sharded_.fid_offset;
    inputs_.feature_offset = sharded_.feature_offset;
    inputs_.nfl_offset = sharded_.nfl_offset;
    inputs_.batch = 2;
  }

  std::string Refused(const LayoutInputs& inputs) {
    try {
      CheckLayoutInputs(config_, inputs);
      return "";
    } catch (const DataError& error) {
      return error.what();
    }
  }

  const LayoutConfig config_ = ParseLayoutConfig(Configs());
  ShardedFids sharded_;
  const std::vector<std::vector<float>> embeddings_{
      {1, 2, 3, 10, 20, 30}, {4, 5, 6, 40, 50, 60}, {8, 8.5}, {7, 7.5, 9, 9.5}};
  LayoutInputs inputs_;
};

TEST_F(LayoutTest, FidsGoToTheListsOfTheirTableAndShard) {
  EXPECT_THAT(sharded_.fids, ElementsAre(ElementsAre(2, 4), ElementsAre(3, 5), ElementsAre(8), ElementsAre(7, 9)));
  EXPECT_THAT(sharded_.emb_size, ElementsAre(6, 6, 2, 4));
  EXPECT_THAT(sharded_.feature_offset, ElementsAre(0, 2, 3, 4, 6, 9, 9));
  EXPECT_THAT(sharded_.nfl_offset, ElementsAre(0, 2, 4, 7));
}

TEST_F(LayoutTest, TensorsAndGradients) {
  CheckLayoutInputs(config_, inputs_);
  std::vector<std::vector<float>> tensors{std::vector<float>(4), std::vector<float>(8), std::vector<float>(4)};
  for (size_t t = 0; t < tensors.size(); ++t) {
    FillLayout(config_, config_.tensors[t], inputs_, 1, 2, tensors[t].data());
    FillLayout(config_, config_.tensors[t], inputs_, 0, 1, tensors[t].data());
  }
  EXPECT_THAT(tensors[0], ElementsAre(5, 10, 1, 25));
  EXPECT_THAT(tensors[1], ElementsAre(7, 7.5, 8, 8.5, 0, 0, 0, 0));
  EXPECT_THAT(tensors[2], ElementsAre(27, 39, 37, 48));

  std::vector<std::vector<float>> gradients;
  std::vector<float*> pointers;
  for (const auto& list : embeddings_) gradients.emplace_back(list.size(), 0.0f);
  for (auto& list : gradients) pointers.push_back(list.data());
  const std::vector<float> ones(8, 1.0f);
  for (int f = 0; f < 3; ++f)
    AddLayoutGradients(config_, f, inputs_, {ones.data(), ones.data(), ones.data()}, 2, pointers);
  EXPECT_THAT(gradients[0], ElementsAre(4, 4, 4, 3, 3, 3));
  EXPECT_THAT(gradients[1], ElementsAre(2, 2, 2, 1, 1, 1));
  EXPECT_THAT(gradients[2], ElementsAre(2, 2));
  EXPECT_THAT(gradients[3], ElementsAre(2, 2, 0, 0));
}

TEST_F(LayoutTest, RepeatedFidsAreListedAgainUnlessUnique) {
  const int64_t a[] = {2, 3, 2}, none[] = {0, 0, 0}, a_splits[] = {0, 2, 3};
  const FeatureFids empty{none, none, 2, false};
  const ShardedFids sharded = ShardFids(config_, {{a, a_splits, 2, false}, empty, empty}, 1, false, Backwards);
  EXPECT_THAT(sharded.fids, ElementsAre(ElementsAre(2, 3, 2), ElementsAre()));
  EXPECT_THAT(sharded.fid_offset, ElementsAre(0, 3, 6));
  EXPECT_THAT(sharded.row_splits, ElementsAre(ElementsAre(0, 3, 3), ElementsAre(0, 0)));
}

// By hand: each fid of a row has the gradients of all tensors that it went into, of a mean its share.
TEST_F(LayoutTest, SquaresAreThoseOfEveryOccurrence) {
  const std::vector<float> bias{1, 2, 3, 4}, seq{1, 2, 3, 4, 5, 6, 7, 8}, vec{1, 2, 3, 4};
  const std::vector<const float*> gradients{bias.data(), seq.data(), vec.data()};
  const auto squares = [&](int feature, int64_t first, int64_t last) {
    return LayoutGradientSquares(config_, feature, inputs_, gradients, first, last);
  };
  EXPECT_DOUBLE_EQ(squares(0, 0, 2), 2 * (1 + 1 + 4) + (9 + 9 + 16));     // rows of 2 fids and of 1
  EXPECT_DOUBLE_EQ(squares(1, 0, 2), (4 + 1 + 4) + (16 + 9 + 16) / 2.0);  // means of 1 and of 2
  EXPECT_DOUBLE_EQ(squares(2, 0, 2), 1 + 4 + 9 + 16);                     // 3 fids, 2 positions; none
  EXPECT_DOUBLE_EQ(squares(0, 1, 2), 9 + 9 + 16);
}

TEST_F(LayoutTest, SquaresOfColumnsInTwoTensorsAreThoseOfTheirSum) {
  std::string configs = Configs();
  PutEntry(&configs, 2, "zwei", Out(OutType::kStack, {{"b", 1, 3}, {"a", 0, 2}}));
  const LayoutConfig config = ParseLayoutConfig(configs);
  const std::vector<float> bias{1, 2, 3, 4}, seq(8), vec{1, 2, 3, 4}, zwei{0, 0, 5, 6, 0, 0, 7, 8};
  const std::vector<const float*> gradients{bias.data(), seq.data(), vec.data(), zwei.data()};
  // Columns of a: bias 0, vec 1 and 2, zwei 0 and 1.
  EXPECT_DOUBLE_EQ(LayoutGradientSquares(config, 0, inputs_, gradients, 0, 2),
                   2 * (6 * 6 + 7 * 7 + 2 * 2) + (10 * 10 + 11 * 11 + 4 * 4));
}

TEST_F(LayoutTest, OffsetsThatPointNowhereAreNamed) {
  LayoutInputs inputs = inputs_;
  inputs.embeddings[3] = {embeddings_[3].data(), 3};
  EXPECT_THAT(Refused(inputs), HasSubstr("of feature 'c' points to float 2 of list 3"));
  inputs = inputs_;
  inputs.nfl_offset.size = 3;
  EXPECT_THAT(Refused(inputs), HasSubstr("nfl_offset has 3 elements for 3 features"));
  inputs = inputs_;
  inputs.batch = 7;
  EXPECT_THAT(Refused(inputs), HasSubstr("nfl_offset of feature 'a' is 0, with 7 rows"));
  std::vector<int32_t> falling = sharded_.feature_offset;
  falling[2] = 1;
  inputs = inputs_;
  inputs.feature_offset = falling;
  EXPECT_THAT(Refused(inputs), HasSubstr("feature_offset[2] is 1"));
  falling[2] = 3;
  falling[0] = -1;
  EXPECT_THAT(Refused(inputs), HasSubstr("feature_offset[0] is -1"));
}

// Whatever the bytes are, they are parsed or refused; offsets drawn at random are refused or stay within the embeddings.
TEST_F(LayoutTest, DamagedInputsNeverReachBeyondTheirEnds) {
  std::mt19937 random(1);
  const std::string valid = Configs();
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = valid;
    for (int i = random() % 4; i >= 0; --i) bytes[random() % bytes.size()] = static_cast<char>(random());
    bytes.resize(bytes.size() - random() % 3);
    try {
      ParseLayoutConfig(bytes);
    } catch (const DataError&) {
    }
    std::vector<uint64_t> fids = sharded_.fid_offset;
    std::vector<uint32_t> nfl = sharded_.nfl_offset;
    fids[random() % fids.size()] = static_cast<uint64_t>(random() % 6) << 32 | random() % 8;
    nfl[random() % nfl.size()] ^= uint32_t{1} << random() % 32;
    LayoutInputs inputs = inputs_;
    inputs.fid_offset = fids;
    inputs.nfl_offset = nfl;
    if (!Refused(inputs).empty()) continue;
    for (const LayoutTensor& tensor : config_.tensors) {
      std::vector<float> out(8);
      FillLayout(config_, tensor, inputs, 0, 2, out.data());
    }
  }
}

}  // namespace
}  // namespace monolith::distribution
