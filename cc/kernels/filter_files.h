// SPDX-License-Identifier: Apache-2.0
// Saved occurrence filters: a file for every split (TFRecord, uncompressed), of one HashFilterSplitMetaDump and then
// HashFilterSplitDataDump records of up to 10000 cells, in order. Records of zero cells only are left out, the first and
// the last one excepted: a filter of the default size would otherwise write 840 MB before it has seen anything, and the
// last record tells a whole file from one that was cut off.
#ifndef CC_KERNELS_FILTER_FILES_H_
#define CC_KERNELS_FILTER_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "cc/hash_table/sliding_filter.h"
#include "tensorflow/core/platform/env.h"

namespace monolith {

// Writes <basename>-ddddd-of-ddddd, one for every split. None of them has its name before all are complete; files of an
// older save with another number of splits are removed.
absl::Status SaveFilter(::tensorflow::Env* env, const SlidingFilter& filter, const std::string& basename);

// Reads them back. The filter changes only after every file has been read. InvalidArgument if the set of files is not
// complete, ResourceExhausted naming both numbers if the saved filter has another shape, DataLoss naming the file if one
// is damaged.
absl::Status RestoreFilter(::tensorflow::Env* env, SlidingFilter* filter, const std::string& basename);

}  // namespace monolith

#endif  // CC_KERNELS_FILTER_FILES_H_
