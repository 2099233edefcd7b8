#include "kube/store/txn.h"

#include <algorithm>
#include <set>

#include "kube/store/errors.h"

namespace proa::kube::store {

namespace {

std::string_view key_of(const Operation& operation) {
  if (const auto* put = std::get_if<Put>(&operation)) return put->draft ? put->draft.key() : std::string_view();
  if (const auto* gone = std::get_if<Delete>(&operation)) return gone->key;
  return std::get<Range>(operation).key;
}

bool covers(const Delete& gone, std::string_view key) {
  if (gone.end.empty()) return key == gone.key;
  return key >= gone.key && (gone.end == kToTheEnd || key < gone.end);
}

// The order of a transaction's changes to one key would decide what is there in the end.
Result<> check_overlap(const std::vector<Operation>& operations) {
  std::set<std::string_view> put;
  for (const Operation& operation : operations)
    if (std::holds_alternative<Put>(operation) && !put.insert(key_of(operation)).second)
      return fail_as(Code::kInvalid, "key \"", key_of(operation), "\" is put twice in one transaction");
  for (const Operation& operation : operations)
    if (const auto* gone = std::get_if<Delete>(&operation))
      for (const std::string_view key : put)
        if (covers(*gone, key))
          return fail_as(Code::kInvalid, "key \"", key, "\" is put and deleted in one transaction");
  return {};
}

Result<> check_branch(const std::vector<Operation>& operations, size_t& bytes) {
  if (operations.size() > kMostOperations)
    return fail_as(Code::kTooLarge, "a transaction of ", operations.size(), " operations; at most ", kMostOperations);
  for (const Operation& operation : operations) {
    const auto* range = std::get_if<Range>(&operation);
    const auto* gone = std::get_if<Delete>(&operation);
    const bool to_end = (range && !range->end.empty()) || (gone && !gone->end.empty());
    if (key_of(operation).empty() && !to_end) return fail_as(Code::kInvalid, "a key is empty");
    bytes += key_of(operation).size();
    if (const auto* put = std::get_if<Put>(&operation)) bytes += put->draft.value().size();
  }
  if (operations.size() > 1) return check_overlap(operations);
  return {};
}

template <typename T>
bool related(const T& a, const T& b, Compare::Relation relation) {
  switch (relation) {
    case Compare::Relation::kEqual: return a == b;
    case Compare::Relation::kNotEqual: return a != b;
    case Compare::Relation::kGreater: return a > b;
    case Compare::Relation::kLess: return a < b;
  }
  return false;
}

}  // namespace

Result<> check_txn(const Txn& txn) {
  size_t bytes = 0;
  if (txn.compares.size() > kMostOperations)
    return fail_as(Code::kTooLarge, "a transaction of ", txn.compares.size(), " compares; at most ", kMostOperations);
  for (const Compare& compare : txn.compares) {
    if (compare.key.empty()) return fail_as(Code::kInvalid, "a key to compare is empty");
    bytes += compare.key.size() + compare.value.size();
  }
  TRY(check_branch(txn.success, bytes));
  TRY(check_branch(txn.failure, bytes));
  if (bytes > kMostTxnBytes)
    return fail_as(Code::kTooLarge, "a transaction of ", bytes, " bytes; at most ", kMostTxnBytes);
  return {};
}

bool holds(const Compare& compare, const Record* record) {
  switch (compare.target) {
    case Compare::Target::kVersion:
      return related<int64_t>(record ? record->version() : 0, compare.number, compare.relation);
    case Compare::Target::kCreateRevision:
      return related<int64_t>(record ? record->create_revision() : 0, compare.number, compare.relation);
    case Compare::Target::kModRevision:
      return related<int64_t>(record ? record->mod_revision() : 0, compare.number, compare.relation);
    case Compare::Target::kLease:
      return related<int64_t>(record ? record->lease() : 0, compare.number, compare.relation);
    // The value of what is not there has no relation to any, as in etcd.
    case Compare::Target::kValue:
      return record && related<std::string_view>(record->value(), compare.value, compare.relation);
  }
  return false;
}

}  // namespace proa::kube::store
