// SPDX-License-Identifier: Apache-2.0
#include "cc/monitoring/table_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/cc/hash_table/table_test_util.h"

namespace monolith {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace testing;  // NOLINT: tables to summarise

TEST(TableSummaryTest, OfATrainingTable) {
  TableConfig config = MakeConfig({MakeSlice(2, "adagrad"), MakeSlice(1)});
  config.name = "a \"b\"";
  auto table = NewEmbeddingTable(config);
  Assign(table.get(), {1, 2, 3}, std::vector<float>(9, 1));
  const std::string summary = TableSummary(*table);
  EXPECT_THAT(
      summary,
      StartsWith("{\"name\": \"a \\\"b\\\"\", \"accessor\": {\"entry_type\": \"TRAINING\", \"entry_bytes\": 20, "
                 "\"slices\": [{\"dim\": 2, \"optimizer\": \"adagrad\", \"compressor\": \"fp32\"}, "
                 "{\"dim\": 1, \"optimizer\": \"sgd\", \"compressor\": \"fp32\"}]}, \"size\": 3, "
                 "\"memory\": 84, \"memory_if_not_compressed\": 84, \"load_factor\": 0."));
  EXPECT_THAT(summary, HasSubstr(", \"allocated\": " + std::to_string(table->MemoryBytes()) + "}"));
}

TEST(TableSummaryTest, AServingTableTellsWhatCompressionSaves) {
  SliceConfig half = MakeSlice(4);
  half.compressor.name = "fp16";
  auto table = NewEmbeddingTable(ServingConfig({half, MakeSlice(1)}));
  EXPECT_THAT(TableSummary(*table), HasSubstr("\"size\": 0, \"memory\": 0, \"memory_if_not_compressed\": 0, "
                                              "\"load_factor\": 0, "));
  Assign(table.get(), {1, 2}, std::vector<float>(10, 1));
  EXPECT_THAT(TableSummary(*table),
              HasSubstr("\"entry_bytes\": 12, \"slices\": [{\"dim\": 4, \"compressor\": \"fp16\"}"));
  EXPECT_THAT(TableSummary(*table), HasSubstr("\"memory\": 40, \"memory_if_not_compressed\": 56"));
}

TEST(TableSummaryTest, TheLoadFactorIsThatOfTheIndex) {
  auto table = NewEmbeddingTable(MakeConfig({MakeSlice(1)}));
  for (int64_t fid = 0; fid < 20000; ++fid) {
    Assign(table.get(), {fid}, {1});
    EXPECT_GE(1, table->LoadFactor());
  }
  EXPECT_GT(table->LoadFactor(), 0.4);
}

}  // namespace
}  // namespace monolith
