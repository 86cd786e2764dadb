// SPDX-License-Identifier: Apache-2.0
// Other slots for the fids of columns of an Example or an ExampleBatch.
#ifndef CC_DATA_SWITCH_SLOTS_H_
#define CC_DATA_SWITCH_SLOTS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/data/message_check.h"
#include "cc/data/record_step.h"

namespace monolith {
namespace data {

struct SlotSwitch {
  std::string column;
  bool inplace = true;  // else the column stays and a new one, `column`_`suffix`, has the other slot
  int64_t slot = 0;
};

// Signatures stay. Fids of version 1 stay so where the slot is below 1024, else they become version 2, as a parser makes
// them. The id of a new column is that of the old one. Throws DataError (kInvalidArgument) for an impossible slot, and
// where a column that is named has values that are no fids.
std::unique_ptr<RecordChange> NewSwitchSlots(MessageType type, const std::vector<SlotSwitch>& switches,
                                             const std::string& suffix);

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_SWITCH_SLOTS_H_
