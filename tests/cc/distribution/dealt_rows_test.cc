// SPDX-License-Identifier: Apache-2.0
// Rows of dealt fids against loops that look every fid up by itself, and their gradients against a map of sums.
#include "cc/distribution/dealt_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cc/data/data_error.h"
#include "tests/cc/hash_table/combine_test_util.h"

namespace monolith::distribution {
namespace {

using ::monolith::testing::Expected;
using ::monolith::testing::FillTables;
using ::monolith::testing::Lookup;
using ::monolith::testing::MakeOutputs;
using ::monolith::testing::MixedPlan;
using ::monolith::testing::Pointers;
using ::monolith::testing::RandomGradients;
using ::monolith::testing::RandomRows;
using ::monolith::testing::Rows;
using ::monolith::testing::Sums;
using ::monolith::testing::TwoTables;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

using Ints = std::vector<int64_t>;

const Ints kDims{3, 5};  // of TwoTables

// A batch for MixedPlan, dealt out.
struct DealtBatch {
  DealtBatch(const CombinePlan& plan, int64_t batch, int num_servers, std::mt19937_64* random) {
    for (int f = 0; f < plan.num_features(); ++f) {
      rows.push_back(RandomRows(batch, 4, 90, random));
      places.emplace_back(rows.back().fids.size());
    }
    for (const Rows& r : rows) ids.push_back(r.Ids());
    for (int t = 0; t < 2; ++t) {
      std::vector<FidsToDeal> features;
      for (const int f : plan.FeaturesOf(t)) features.push_back({rows[f].fids, places[f].data()});
      tables.push_back(DealTable(features, num_servers));
    }
    for (int s = 0; s < num_servers; ++s) {
      messages.emplace_back(MessageSize(tables, s));
      WriteMessage(tables, s, messages.back().data());
      floats.emplace_back(NumFloats(kDims, messages.back()), -77.0f);
    }
  }

  // What every server finds.
  void LookUp(const MultiTable& found) {
    for (size_t s = 0; s < messages.size(); ++s) {
      floats[s].clear();
      for (int t = 0; t < 2; ++t) {
        for (const int64_t fid : tables[t][s]) {
          const auto row = Lookup(found.table(t), {fid});
          floats[s].insert(floats[s].end(), row.begin(), row.end());
        }
      }
    }
  }

  template <typename Float>
  std::vector<TableRows<Float>> Find() {
    std::vector<Span<Float>> buffers;
    for (auto& buffer : floats) buffers.emplace_back(buffer.data(), buffer.size());
    return FindRows(kDims, {messages.begin(), messages.end()}, buffers);
  }

  std::vector<Rows> rows;
  std::vector<FeatureIds> ids;
  std::vector<Ints> places, messages;
  std::vector<std::vector<Ints>> tables;
  std::vector<std::vector<float>> floats;  // of every server
};

TEST(CombineDealtTest, AgreesWithALoopOverRows) {
  std::mt19937_64 random(1);
  const CombinePlan plan = MixedPlan();
  MultiTable tables(TwoTables());
  FillTables(&tables, &random);
  for (const int64_t batch : {0, 1, 7, 200}) {
    for (const int servers : {1, 2, 5}) {
      DealtBatch dealt(plan, batch, servers, &random);
      dealt.LookUp(tables);
      const auto rows = dealt.Find<const float>();
      auto outputs = MakeOutputs(plan, batch, -99);
      const auto pointers = Pointers(&outputs);
      for (int f = 0; f < plan.num_features(); ++f) {
        const auto& own = rows[plan.use(f).feature.table];
        CombineDealt(plan, f, own, dealt.ids[f], dealt.places[f].data(), 0, batch / 3, pointers.data());
        CombineDealt(plan, f, own, dealt.ids[f], dealt.places[f].data(), batch / 3, batch, pointers.data());
      }
      ASSERT_EQ(outputs, Expected(plan, tables, dealt.ids, batch)) << batch << " rows, " << servers << " servers";
    }
  }
}

TEST(SumDealtGradientsTest, AgreesWithAMapOfSumsForAnyNumberOfParts) {
  std::mt19937_64 random(2);
  const CombinePlan plan = MixedPlan();
  for (const int parts : {1, 2, 5}) {
    DealtBatch dealt(plan, 300, 3, &random);
    auto gradients = RandomGradients(plan, 300, &random);
    const auto mutable_pointers = Pointers(&gradients);
    const std::vector<const float*> pointers(mutable_pointers.begin(), mutable_pointers.end());
    std::vector<const int64_t*> places;
    for (const Ints& own : dealt.places) places.push_back(own.data());
    const auto rows = dealt.Find<float>();
    for (int t = 0; t < 2; ++t) {
      std::vector<std::thread> threads;
      for (int part = 0; part < parts; ++part) {
        threads.emplace_back([&, part] {
          SumDealtGradients(plan, plan.FeaturesOf(t), rows[t], dealt.ids, places, pointers.data(), part, parts);
        });
      }
      for (auto& thread : threads) thread.join();
      const auto sums = Sums(plan, t, static_cast<int>(kDims[t]), dealt.ids, gradients);
      size_t seen = 0;
      for (int64_t s = 0; s < 3; ++s) {
        for (size_t i = 0; i < dealt.tables[t][s].size(); ++i, ++seen) {
          const float* row = rows[t].At(PlaceOf(s, static_cast<int64_t>(i)));
          ASSERT_EQ(std::vector<float>(row, row + kDims[t]), sums.at(dealt.tables[t][s][i]));
        }
      }
      ASSERT_EQ(seen, sums.size());
    }
  }
}

TEST(TableRowsTest, PlacesBeyondTheRowsAreRefused) {
  std::vector<float> floats(4);
  const TableRows<float> rows(2, {{floats.data(), 2}, {nullptr, 0}});
  EXPECT_EQ(rows.At(PlaceOf(0, 1)), floats.data() + 2);
  for (const int64_t place : {PlaceOf(0, 2), PlaceOf(1, 0), PlaceOf(2, 0), int64_t{-1}}) {
    EXPECT_THAT([&] { rows.At(place); }, ThrowsMessage<DataError>(HasSubstr("beyond its rows of the table")));
  }
}

TEST(FindRowsTest, FloatsMustFitTheFids) {
  const Ints message{0, 1, 2, 8, 9};
  std::vector<float> floats(8);
  const auto find = [&](int64_t size) { return FindRows<float>(kDims, {message}, {Span<float>(floats.data(), size)}); };
  EXPECT_EQ(find(8)[1].At(0), floats.data() + 3);
  EXPECT_THAT([&] { find(7); },
              ThrowsMessage<DataError>(HasSubstr("rows of server 0 have 7 floats, but its fids need 8")));
}

}  // namespace
}  // namespace monolith::distribution
