// Evaluating a transaction against the newest state.
#pragma once

#include "base/error.h"
#include "kube/store/types.h"

namespace proa::kube::store {

// Whether any store takes it: keys, sizes, no key put twice. Errors: kInvalid, kTooLarge.
Result<> check_txn(const Txn& txn);
// `record`: the key's newest, null when it is not there.
bool holds(const Compare& compare, const Record* record);

}  // namespace proa::kube::store
