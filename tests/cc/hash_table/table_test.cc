// SPDX-License-Identifier: Apache-2.0
// What tables do beyond the suite that all kinds share (table_suite_test.cc), and the small parts below them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "cc/hash_table/gradient_sum.h"
#include "cc/hash_table/half.h"
#include "cc/hash_table/shard_files.h"
#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace testing;  // NOLINT: the fixtures of this suite

TEST(TableTest, LookupEntryBytes) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(1)}));
  Assign(table.get(), {-10}, {1});
  EXPECT_EQ(table->LookupEntry(-10), std::string("\x15\x00\x00\x80\x3F\x1A\x04\x0A\x02\x12\x00\x20\x00", 13));
}

TEST(TableTest, ConfigErrorsNameTableAndSlice) {
  EXPECT_THROW(NewEmbeddingTable(MakeConfig({})), TableError);
  EXPECT_THROW(NewEmbeddingTable(MakeConfig({MakeSlice(0)})), TableError);
  SliceConfig unset = MakeSlice(1);
  unset.initializer.kind = InitializerConfig::Kind::kUnset;
  EXPECT_THROW(NewEmbeddingTable(MakeConfig({unset})), TableError);
  SliceConfig no_compressor = MakeSlice(1);
  no_compressor.compressor.name = "";
  EXPECT_NO_THROW(NewEmbeddingTable(MakeConfig({no_compressor})));
  EXPECT_THROW(NewEmbeddingTable(ServingConfig({no_compressor})), TableError);
}

TEST(TableTest, SlicesStartWithTheirOwnConstants) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(1, "sgd", 3), MakeSlice(2, "sgd", 4)}));
  AssignAdd(table.get(), {7}, {0, 0, 0});
  EXPECT_THAT(Lookup(*table, {7}), ElementsAre(3, 4, 4));
}

TEST(TableTest, ZeroIsASumOfSquaresBelowTheSmallestNormalFloat) {
  TableConfig config = ServingConfig({MakeSlice(2)});
  config.skip_zero_embedding = true;
  auto table = NewEmbeddingTable(config);
  auto plain = NewEmbeddingTable(ServingConfig({MakeSlice(2)}));
  // The smallest normal float is 2^-126: the square of 2^-63.
  const std::vector<float> rows = {0,          -0.0f,      0x1p-64f, 0x1p-64f, 0,      -0x1p-63f,
                                   0x1.8p-64f, 0x1.8p-64f, NAN,      0,        1e-30f, 1};
  const std::vector<int64_t> fids = {1, 2, 3, 4, 5, 6};
  Assign(table.get(), fids, rows);
  Assign(plain.get(), fids, rows);
  const auto kept = [](const EmbeddingTable& t) {
    std::vector<int64_t> kept;
    for (int64_t fid = 1; fid <= 6; ++fid) {
      if (!t.LookupEntry(fid).empty()) kept.push_back(fid);
    }
    return kept;
  };
  EXPECT_THAT(kept(*table), ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(kept(*plain), ElementsAre(1, 2, 3, 4, 5, 6));
  Restore(table.get(), Dump(plain.get()));
  EXPECT_THAT(kept(*table), ElementsAre(3, 4, 5, 6));
}

TEST(TableTest, ARestoreTakesWhatASaveWouldLeaveOut) {
  TableConfig config = MakeConfig({MakeSlice(1)});
  auto saved = NewEmbeddingTable(config);
  Assign(saved.get(), {1}, {1}, 0);
  Assign(saved.get(), {2}, {1}, 86400);
  config.expire.default_days = 1;
  auto table = NewEmbeddingTable(config);
  Restore(table.get(), Dump(saved.get()));
  EXPECT_EQ(table->size(), 2u);
  EXPECT_EQ(Dump(table.get()).size(), 1u);
}

TEST(TableTest, RandomValuesDependOnSeedSliceAndFidOnly) {
  SliceConfig slice = MakeSlice(500);
  slice.initializer.kind = InitializerConfig::Kind::kRandomUniform;
  slice.initializer.minval = -1;
  slice.initializer.maxval = 1;
  TableConfig config = MakeConfig({slice, slice});
  auto first = NewEmbeddingTable(config), second = NewEmbeddingTable(config);
  const std::vector<float> zeros(1000, 0);
  AssignAdd(first.get(), {1}, zeros);
  AssignAdd(first.get(), {2}, zeros);
  AssignAdd(second.get(), {2}, zeros);
  AssignAdd(second.get(), {1}, zeros);
  const std::vector<float> values = Lookup(*first, {1});
  EXPECT_EQ(values, Lookup(*second, {1}));
  EXPECT_NE(values, Lookup(*first, {2}));
  EXPECT_NE(std::vector<float>(values.begin(), values.begin() + 500),
            std::vector<float>(values.begin() + 500, values.end()));
  EXPECT_GT(*std::max_element(values.begin(), values.end()), 0.9f);
  EXPECT_LT(*std::min_element(values.begin(), values.end()), -0.9f);
  for (float v : values) EXPECT_TRUE(v >= -1 && v < 1);
  config.seed = 1;
  auto other = NewEmbeddingTable(config);
  AssignAdd(other.get(), {1}, zeros);
  EXPECT_NE(values, Lookup(*other, {1}));
}

TEST(GradientSumTest, SumsInOrderOfTheBatchInAnyNumberOfParts) {
  std::mt19937_64 random(3);
  const int dim = 3, n = 5000;
  std::vector<int64_t> fids(n);
  std::vector<float> gradients(n * dim);
  for (auto& fid : fids) fid = static_cast<int64_t>(random() % 700) - 350;
  for (auto& g : gradients) g = static_cast<float>(random() % 1000) / 7;
  std::map<int64_t, std::pair<int64_t, std::vector<float>>> expected;
  for (int i = 0; i < n; ++i) {
    auto& [count, sum] = expected[fids[i]];
    ++count;
    sum.resize(dim);
    for (int d = 0; d < dim; ++d) sum[d] += gradients[i * dim + d];
  }
  for (int parts : {1, 2, 7}) {
    size_t distinct = 0;
    for (int part = 0; part < parts; ++part) {
      const GradientSum sum(fids.data(), n, gradients.data(), dim, part, parts);
      for (size_t i = 0; i < sum.fids().size(); ++i, ++distinct) {
        const auto& [count, row] = expected.at(sum.fids()[i]);
        ASSERT_EQ(sum.occurrences()[i], count);
        for (int d = 0; d < dim; ++d) ASSERT_EQ(sum.gradients()[i][d], row[d]);
      }
    }
    EXPECT_EQ(distinct, expected.size());
  }
}

TEST(HalfTest, RoundsToNearestEvenAndComesBack) {
  EXPECT_NEAR(HalfToFloat(FloatToHalf(0.1f)), 0.09997559, 1e-8);
  EXPECT_NEAR(HalfToFloat(FloatToHalf(0.2f)), 0.19995117, 1e-8);
  EXPECT_EQ(HalfToFloat(FloatToHalf(10000)), 10000);
  EXPECT_EQ(HalfToFloat(FloatToHalf(1e6f)), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(std::nanf("")))));
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float value = HalfToFloat(static_cast<uint16_t>(h));
    if (std::isnan(value)) continue;
    ASSERT_EQ(FloatToHalf(value), h);
  }
}

TEST(ShardFilesTest, CompleteSetsOnly) {
  EXPECT_EQ(ShardFileName("a/b", 1, 4), "a/b-00001-of-00004");
  EXPECT_THAT(CompleteShardSet("a/b", {"a/b-00000-of-00001"}), ElementsAre("a/b-00000-of-00001"));
  EXPECT_THAT(CompleteShardSet("a/b", {"a/b-00001-of-00002", "a/b-00000-of-00002-tmp-1234", "a/b-00000-of-00002"}),
              ElementsAre("a/b-00000-of-00002", "a/b-00001-of-00002"));
  EXPECT_THAT(CompleteShardSet("a/b", {"a/b-00000-of-00001", "a/b-00000-of-00003-tmp-1234", "a/bc-00000-of-00009"}),
              ElementsAre("a/b-00000-of-00001"));
  const auto error_of = [](const std::vector<std::string>& paths) -> std::string {
    try {
      CompleteShardSet("a/b", paths);
      return "no error";
    } catch (const TableError& error) {
      return error.what();
    }
  };
  EXPECT_THAT(error_of({"a/b-00000-of-00002"}), HasSubstr("the file a/b-00001-of-00002 is missing; restore from"));
  EXPECT_THAT(error_of({"a/b-00001-of-00001"}), HasSubstr("a/b-00001-of-00001 names a shard beyond its total; remove"));
  EXPECT_THAT(error_of({"a/b-00000-of-00001", "a/b-00000-of-00002"}),
              HasSubstr("a/b-00000-of-00001 and a/b-00000-of-00002 belong to saves with different totals; remove"));
  EXPECT_THAT(error_of({"a/b-random-string"}), HasSubstr("no saved shard of a/b exists; check the path"));
  EXPECT_THAT(error_of({}), HasSubstr("no saved shard of a/b exists"));
}

}  // namespace
}  // namespace monolith
