// SPDX-License-Identifier: Apache-2.0
// A dataset of scalar records in which every record of the input becomes none, one or several.
#ifndef CC_KERNELS_RECORD_EXPANSION_DATASET_H_
#define CC_KERNELS_RECORD_EXPANSION_DATASET_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_expansion.h"
#include "tensorflow/core/framework/attr_value.pb.h"
#include "tensorflow/core/framework/dataset.h"

namespace monolith {

// Attributes: variant_type; seed and seed2 where the op has them. Derived classes set expansion_ when they are constructed,
// or make one a call of other inputs.
class RecordExpansionDatasetOp : public ::tensorflow::data::UnaryDatasetOpKernel {
 protected:
  explicit RecordExpansionDatasetOp(::tensorflow::OpKernelConstruction* ctx);

  void MakeDataset(::tensorflow::OpKernelContext* ctx, ::tensorflow::data::DatasetBase* input,
                   ::tensorflow::data::DatasetBase** output) override;

  // The expansion of one call.
  virtual absl::Status Expansion(::tensorflow::OpKernelContext*,
                                 std::shared_ptr<const data::RecordExpansion>* expansion) {
    *expansion = expansion_;
    return absl::OkStatus();
  }

  data::MessageType type() const { return settings_.type; }

  std::shared_ptr<const data::RecordExpansion> expansion_;

 private:
  class Dataset;
  struct Settings {
    data::MessageType type = data::MessageType::kExample;
    int64_t seed = 0, seed2 = 0;
    std::vector<std::pair<std::string, ::tensorflow::AttrValue>> attrs;  // to write the dataset into a graph
  };

  Settings settings_;
};

}  // namespace monolith

#endif  // CC_KERNELS_RECORD_EXPANSION_DATASET_H_
