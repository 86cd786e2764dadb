// SPDX-License-Identifier: Apache-2.0
#ifndef CC_DATA_ACTION_PRIORITY_H_
#define CC_DATA_ACTION_PRIORITY_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "cc/data/config_text.h"

namespace monolith {
namespace data {

// An order of actions, the most important first.
class ActionPriority {
 public:
  static constexpr int kNotListed = 1 << 30;

  // `name` is what errors call it. Throws DataError (kInvalidArgument) for an action that is listed twice.
  ActionPriority(const std::string& name, const std::vector<int64_t>& actions) {
    for (const int64_t action : actions) {
      if (positions_.try_emplace(action, static_cast<int>(positions_.size())).second) continue;
      ThrowBadSetting(name + " lists " + std::to_string(action) + " twice; list each action once.");
    }
  }

  // Its place in the order, from 0; kNotListed if it has none.
  int Position(int64_t action) const {
    const auto it = positions_.find(action);
    return it == positions_.end() ? kNotListed : it->second;
  }

  // The listed action of the highest priority, or null.
  const int64_t* Best(const std::vector<int64_t>& actions) const {
    const int64_t* best = nullptr;
    int position = kNotListed;
    for (const int64_t& action : actions) {
      const int at = Position(action);
      if (at >= position) continue;
      best = &action;
      position = at;
    }
    return best;
  }

 private:
  std::unordered_map<int64_t, int> positions_;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_ACTION_PRIORITY_H_
