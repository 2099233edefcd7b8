#include "tests/sim/store/history.h"

#include <algorithm>
#include <unordered_map>

namespace proa::kube::store {

Change change_of(const Record& record) {
  return {.revision = record.mod_revision(),
          .key = std::string(record.key()),
          .value = std::string(record.value()),
          .deleted = record.deleted(),
          .created = record.deleted() ? 0 : record.create_revision(),
          .version = record.deleted() ? 0 : record.version()};
}

void History::add(std::vector<Call> operations) {
  const std::lock_guard lock(mutex_);
  operations_.insert(operations_.end(), std::move_iterator(operations.begin()), std::move_iterator(operations.end()));
}

void History::add(Stretch stretch) {
  const std::lock_guard lock(mutex_);
  stretches_.push_back(std::move(stretch));
}

std::vector<std::string> History::check(Revision upto) const {
  std::vector<std::string> wrong;
  check_truth(wrong);
  check_operations(upto, wrong);
  check_order(wrong);
  check_stretches(wrong);
  return wrong;
}

std::string History::summary() const {
  size_t events = 0;
  for (const Stretch& stretch : stretches_) events += stretch.seen.size();
  size_t counts[4] = {};
  for (const Call& call : operations_) ++counts[call.outcome];
  return cat(operations_.size(), " calls (", counts[0], " done, ", counts[1], " refused, ", counts[2], " uncertain, ",
             counts[3], " failed), ", truth_.size(), " changes, ", stretches_.size(), " watches that saw ", events,
             " events");
}

History::State History::first_state() const {
  State state;
  for (const Change& change : base_) state[change.key] = change;
  return state;
}

// The changes themselves count versions and revisions right.
void History::check_truth(std::vector<std::string>& wrong) const {
  State state = first_state();
  Revision last = 0;
  for (const Change& change : truth_) {
    if (change.revision < last) wrong.push_back(cat("revision ", change.revision, " after ", last));
    last = change.revision;
    const auto known = state.find(change.key);
    if (change.deleted) {
      if (known == state.end())
        wrong.push_back(cat("revision ", last, " deletes ", change.key, ", which was not there"));
      state.erase(change.key);
      continue;
    }
    const int64_t version = known == state.end() ? 1 : known->second.version + 1;
    const Revision created = known == state.end() ? change.revision : known->second.created;
    if (change.version != version || change.created != created)
      wrong.push_back(cat("revision ", last, " of ", change.key, ": version ", change.version, " made at ",
                          change.created, " instead of ", version, " made at ", created));
    if (known != state.end() && known->second.revision == change.revision)
      wrong.push_back(cat("revision ", last, " has ", change.key, " twice"));
    state[change.key] = change;
  }
}

// What the key was at the revision; null if it was not there.
const Change* History::at(const std::string& key, Revision revision) const {
  static thread_local std::unordered_map<std::string, std::vector<const Change*>> by_key;
  static thread_local const History* known = nullptr;
  if (known != this) {
    by_key.clear();
    for (const auto* changes : {&base_, &truth_})
      for (const Change& change : *changes) by_key[change.key].push_back(&change);
    known = this;
  }
  const auto& changes = by_key[key];
  const auto after = std::ranges::upper_bound(changes, revision, {}, &Change::revision);
  if (after == changes.begin() || (*std::prev(after))->deleted) return nullptr;
  return *std::prev(after);
}

// Each call's answer is what the changes say; what is acknowledged is there, once, and what was refused is not.
void History::check_operations(Revision upto, std::vector<std::string>& wrong) const {
  std::unordered_map<std::string, std::vector<const Change*>> by_value;
  for (const Change& change : truth_)
    if (!change.deleted) by_value[change.value].push_back(&change);
  for (const Call& call : operations_) {
    const auto say = [&](const auto&... what) { wrong.push_back(cat(call.key, " ", call.value, ": ", what...)); };
    if (call.kind == Call::kPut) {
      const auto found = by_value.find(call.value);
      const size_t times = found == by_value.end() ? 0 : found->second.size();
      if (times > 1) say("was written ", times, " times");
      if (call.outcome == Call::kDone && times == 0) say("was acknowledged at ", call.revision, " and is lost");
      if (call.outcome == Call::kDone && times == 1 && found->second[0]->revision != call.revision)
        say("was acknowledged at ", call.revision, " and is at ", found->second[0]->revision);
      if ((call.outcome == Call::kRefused || call.outcome == Call::kFailed) && times != 0)
        say("was refused, and is there");
    }
    if (call.outcome != Call::kDone && call.outcome != Call::kRefused) continue;
    if (call.expected >= 0) {
      const Change* const before = at(call.key, call.outcome == Call::kDone ? call.revision - 1 : call.revision);
      const bool equal = (before ? before->revision : 0) == call.expected;
      if (equal != (call.outcome == Call::kDone))
        say("the guard ", call.expected, " was judged wrong at ", call.revision);
    }
    if (call.kind == Call::kRead) {
      const Change* const there = at(call.key, call.revision);
      if ((there ? there->value : "") != call.value) say("was read at ", call.revision, ", where it is not");
    }
    if (call.kind == Call::kList && call.revision <= upto) {
      std::vector<std::pair<std::string, Revision>> expected;
      State state = first_state();
      for (const Change& change : truth_) {
        if (change.revision > call.revision) break;
        if (change.deleted)
          state.erase(change.key);
        else
          state[change.key] = change;
      }
      for (const auto& [key, change] : state)
        if (key.starts_with(call.key)) expected.emplace_back(key, change.revision);
      if (expected != call.listed) say("was listed at ", call.revision, " as it never was");
    }
  }
}

// What ended before something else began comes before it; a read sees at least that.
void History::check_order(std::vector<std::string>& wrong) const {
  std::vector<const Call*> by_end;
  std::vector<const Call*> by_begin;
  for (const Call& call : operations_) {
    if (call.outcome == Call::kDone && (call.kind == Call::kPut || call.kind == Call::kDelete)) by_end.push_back(&call);
    if (call.outcome == Call::kDone || call.outcome == Call::kRefused) by_begin.push_back(&call);
  }
  std::ranges::sort(by_end, {}, &Call::end);
  std::ranges::sort(by_begin, {}, &Call::begin);
  Revision newest = 0;
  auto ended = by_end.begin();
  for (const Call* const call : by_begin) {
    for (; ended != by_end.end() && (*ended)->end < call->begin; ++ended) newest = std::max(newest, (*ended)->revision);
    const bool writes = call->outcome == Call::kDone && (call->kind == Call::kPut || call->kind == Call::kDelete);
    if (call->revision < newest || (writes && call->revision == newest))
      wrong.push_back(cat(call->key, " ", call->value, ": at revision ", call->revision, ", begun after ", newest,
                          " was acknowledged"));
  }
}

// Each watcher saw what was there to see: nothing lost, doubled or out of order.
void History::check_stretches(std::vector<std::string>& wrong) const {
  for (const Stretch& stretch : stretches_) {
    std::vector<Change> expected;
    for (const Change& change : truth_)
      if (change.revision > stretch.from && change.revision <= stretch.upto && change.key.starts_with(stretch.prefix))
        expected.push_back(change);
    if (expected == stretch.seen) continue;
    const auto [here, there] = std::ranges::mismatch(stretch.seen, expected);
    wrong.push_back(cat("watch of ", stretch.prefix, " from ", stretch.from, " to ", stretch.upto, ": ",
                        stretch.seen.size(), " events instead of ", expected.size(), "; the first that differs is ",
                        here == stretch.seen.end() ? 0 : here->revision, " instead of ",
                        there == expected.end() ? 0 : there->revision));
  }
}

}  // namespace proa::kube::store
