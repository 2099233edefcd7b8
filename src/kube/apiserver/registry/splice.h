// Stored bytes: an object's JSON with an empty resource version, since that is only known once it is written. What is
// served has it in its place, without parsing: Record::note() remembers where.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "kube/apiserver/registry/catalog.h"
#include "kube/object/value.h"
#include "kube/store/record.h"

namespace proa::kube::api {

// The note: the offset of the resource version in its lower half, Resource::form in its upper one.
constexpr uint32_t splice_offset(uint64_t note) { return static_cast<uint32_t>(note); }
constexpr uint32_t form_of(uint64_t note) { return static_cast<uint32_t>(note >> 32); }

// `object` is conformed, in the form of `resource`, which is the one whose form is stored.
store::Draft stored_draft(std::string_view key, const Resource& resource, const Value& object);
// The note of such bytes, for what comes without (etcd); the form is not known then.
uint64_t note_of(std::string_view value);

// The text of an object around its resource version.
struct Spliced {
  std::string_view before;
  std::array<char, 20> digits;
  uint8_t digit_count = 0;
  std::string_view after;
  std::string_view version() const { return {digits.data(), digit_count}; }
  size_t size() const { return before.size() + digit_count + after.size(); }
  void append_to(std::string& out) const { out.append(before).append(version()).append(after); }
};
Spliced splice(const store::Record& record, store::Revision revision);
inline Spliced splice(const store::Record& record) { return splice(record, record.mod_revision()); }

// Whether the record's bytes are what `resource` serves; otherwise convert.h makes that of them.
inline bool served_as_stored(const Resource& resource, const store::Record& record) {
  return form_of(record.note()) == resource.form && record.value().starts_with(resource.head);
}

}  // namespace proa::kube::api
