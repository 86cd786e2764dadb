// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/partial_sums.h"

#include "cc/kernels/run_units.h"
#include "cc/layers/partial_sums.h"

namespace monolith {
namespace {

constexpr double kCostPerProduct = 0.1;  // ns
constexpr int64_t kFloatsPerUnit = 4096;

}  // namespace

int64_t CostOfProducts(int64_t rows, int64_t products_a_row) {
  return static_cast<int64_t>(kCostPerProduct * static_cast<double>(rows) * static_cast<double>(products_a_row)) + 1;
}

absl::Status RunPartialSums(::tensorflow::OpKernelContext* ctx, int64_t num_chunks, int64_t cost, int64_t size,
                            float* total, const std::function<void(int64_t chunk, float* partial)>& work) {
  ::tensorflow::Tensor partials;
  TF_RETURN_IF_ERROR(
      ctx->allocate_temp(::tensorflow::DT_FLOAT, ::tensorflow::TensorShape({num_chunks, size}), &partials));
  float* parts = partials.flat<float>().data();
  TF_RETURN_IF_ERROR(RunUnits(ctx, num_chunks, cost, [&](int64_t chunk) { work(chunk, parts + chunk * size); }));
  const int64_t cost_of_sums = CostOfProducts(num_chunks, kFloatsPerUnit);
  return RunRanges(ctx, size, kFloatsPerUnit, cost_of_sums, [&](int64_t begin, int64_t end) {
    layers::SumPartials(parts, num_chunks, size, begin, end, total);
  });
}

}  // namespace monolith
