// SPDX-License-Identifier: Apache-2.0
// The projection of keys beside a query, against its definition.
#include "cc/layers/key_projection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "cc/layers/small_matmul.h"
#include "tests/cc/layers/layer_test_util.h"

namespace monolith::layers {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::Pointwise;

struct Problem {
  KeyProjectionShape shape;
  int64_t batch;
  Numbers own, queries, keys, of_key, of_product, grad;

  Problem(const KeyProjectionShape& shape, int64_t batch)
      : shape(shape),
        batch(batch),
        own(Random(batch * shape.units, 1)),
        queries(Random(batch * shape.width, 2)),
        keys(Random(batch * shape.num_keys * shape.width, 3)),
        of_key(Random(shape.kernel_size(), 4)),
        of_product(Random(shape.kernel_size(), 5)),
        grad(Random(batch * shape.num_keys * shape.units, 6)) {}
};

struct Results {
  Numbers output, own, queries, keys, kernels;  // of the kernels [2, U, H]

  explicit Results(const Problem& p)
      : output(p.grad.size()),
        own(p.own.size()),
        queries(p.queries.size()),
        keys(p.keys.size()),
        kernels(2 * p.of_key.size()) {}
};

Results Compute(const Problem& p) {
  Results found(p);
  ProjectKeys(p.shape, p.batch, {p.queries.data(), p.keys.data(), p.of_key.data(), p.of_product.data()}, p.own.data(),
              found.output.data());
  Numbers turned(2 * p.of_key.size());
  const int64_t size = p.shape.kernel_size(), num_chunks = p.shape.num_chunks(p.batch);
  Transpose(p.of_key.data(), p.shape.width, p.shape.units, turned.data(), p.shape.width);
  Transpose(p.of_product.data(), p.shape.width, p.shape.units, turned.data() + size, p.shape.width);
  Numbers partials(num_chunks * 2 * size, -7);
  for (int64_t chunk = num_chunks; chunk-- > 0;) {
    ProjectKeysGradient(
        p.shape, chunk, p.batch, p.grad.data(), {p.queries.data(), p.keys.data(), turned.data(), turned.data() + size},
        {found.own.data(), found.queries.data(), found.keys.data()}, partials.data() + chunk * 2 * size);
  }
  SumPartials(partials.data(), num_chunks, 2 * size, 0, 2 * size, found.kernels.data());
  return found;
}

// With the terms in no particular order.
Results Define(const Problem& p) {
  Results wanted(p);
  const auto& [num_keys, width, units] = p.shape;
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t t = 0; t < num_keys; ++t) {
      for (int64_t u = 0; u < units; ++u) {
        const int64_t at = (b * num_keys + t) * units + u;
        wanted.output[at] += p.own[b * units + u];
        wanted.own[b * units + u] += p.grad[at];
        for (int64_t h = 0; h < width; ++h) {
          const int64_t key_at = (b * num_keys + t) * width + h, query_at = b * width + h, kernel = h * units + u;
          const float key = p.keys[key_at], query = p.queries[query_at], g = p.grad[at];
          wanted.output[at] += key * p.of_key[kernel] + query * key * p.of_product[kernel];
          wanted.queries[query_at] += g * key * p.of_product[kernel];
          wanted.keys[key_at] += g * (p.of_key[kernel] + query * p.of_product[kernel]);
          wanted.kernels[u * width + h] += g * key;
          wanted.kernels[p.shape.kernel_size() + u * width + h] += g * query * key;
        }
      }
    }
  }
  return wanted;
}

TEST(KeyProjection, worked_case) {
  const Numbers own{1}, query{2}, keys{3, 4}, of_key{10}, of_product{100};
  Numbers output(2);
  ProjectKeys({2, 1, 1}, 1, {query.data(), keys.data(), of_key.data(), of_product.data()}, own.data(), output.data());
  EXPECT_THAT(output, ElementsAre(631, 841));
}

class KeyProjectionSizes : public LevelsTest {};

TEST_P(KeyProjectionSizes, equal_the_definition) {
  for (const KeyProjectionShape& shape :
       {KeyProjectionShape{1, 1, 1}, {0, 3, 2}, {3, 0, 2}, {3, 5, 0}, {3, 5, 2}, {20, 19, 33}, {9, 32, 16}}) {
    for (int64_t batch : {0, 1, 17, 300}) {
      SCOPED_TRACE(testing::Message() << shape.num_keys << " " << shape.width << " " << shape.units << ", " << batch);
      const Problem problem(shape, batch);
      const Results found = Compute(problem), wanted = Define(problem);
      EXPECT_THAT(found.output, Pointwise(FloatNear(2e-5f), wanted.output));
      EXPECT_THAT(found.own, Pointwise(FloatNear(2e-5f), wanted.own));
      EXPECT_THAT(found.queries, Pointwise(FloatNear(2e-4f), wanted.queries));
      EXPECT_THAT(found.keys, Pointwise(FloatNear(2e-5f), wanted.keys));
      EXPECT_THAT(found.kernels, Pointwise(FloatNear(2e-3f), wanted.kernels));
    }
  }
}

TEST_P(KeyProjectionSizes, agree_at_every_level) {
  const Problem problem({5, 19, 23}, 1000);
  ASSERT_GT(problem.shape.num_chunks(1000), 4);
  const Results found = Compute(problem);
  SetSimdLevelForTest(SimdLevel::kBaseline);
  const Results baseline = Compute(problem);
  EXPECT_THAT(baseline.output, IsNear(found.output));
  EXPECT_THAT(baseline.queries, IsNear(found.queries));
  EXPECT_THAT(baseline.keys, IsNear(found.keys));
  EXPECT_THAT(baseline.kernels, IsNear(found.kernels));
}

INSTANTIATE_TEST_SUITE_P(AllLevels, KeyProjectionSizes, testing::ValuesIn(Levels()));

}  // namespace
}  // namespace monolith::layers
