// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_FID_FILTER_H_
#define CC_DATA_FID_FILTER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// What is empty tests nothing. Fids are compared as the record has them, of either version.
struct FidFilterConfig {
  std::vector<uint64_t> filter_fids;  // none of them may be there
  std::vector<uint64_t> has_fids;     // one must
  std::vector<uint64_t> select_fids;  // all must
  std::vector<int64_t> has_actions;   // one must
  std::vector<int64_t> select_slots;  // of each there must be a fid
  int64_t req_time_min = 0;           // requests before it are dropped
};

// Fids are, of an Instance, those of its field `fid`, and of an Example those of all columns; slots are those of all fids.
// Throws DataError (kInvalidArgument) for a slot that there cannot be.
std::unique_ptr<RecordFilter> NewFidFilter(MessageType type, const FidFilterConfig& config);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_FID_FILTER_H_
