#include "kube/apiserver/registry/splice.h"

#include <charconv>

#include "kube/apiserver/registry/scan.h"
#include "kube/object/json.h"

namespace proa::kube::api {
namespace {

constexpr std::string_view kVersion = "resourceVersion";

// Where members are joined: nothing before the first.
void begin_member(std::string& out, std::string_view key) {
  if (out.back() != '{') out += ',';
  write_json_string(out, key);
  out += ':';
}

// The metadata with an empty resource version where its form has it; gives the place between the quotes.
size_t write_metadata(std::string& out, const Value& metadata, bool sorted) {
  size_t offset = 0;
  const auto place = [&] {
    begin_member(out, kVersion);
    out += '"';
    offset = out.size();
    out += '"';
  };
  out += '{';
  for (const Member& member : metadata.members()) {
    if (member.key == kVersion) continue;
    if (sorted && offset == 0 && member.key > kVersion) place();
    begin_member(out, member.key);
    write_json(out, member.value);
    if (!sorted && offset == 0 && member.key == "uid") place();
  }
  if (offset == 0) place();
  out += '}';
  return offset;
}

}  // namespace

store::Draft stored_draft(std::string_view key, const Resource& resource, const Value& object) {
  thread_local std::string out;
  out.assign("{");
  size_t offset = 0;
  for (const Member& member : object.members()) {
    begin_member(out, member.key);
    if (member.key == "metadata")
      offset = write_metadata(out, member.value, resource.custom);
    else
      write_json(out, member.value);
  }
  out += '}';
  store::Draft draft(key, out, static_cast<uint64_t>(resource.form) << 32 | offset);
  if (out.capacity() > (1u << 20)) out = std::string();
  return draft;
}

uint64_t note_of(std::string_view value) {
  const std::string_view version = scan_member(scan_member(value, "metadata"), kVersion);
  return version == "\"\"" ? static_cast<uint64_t>(version.data() + 1 - value.data()) : 0;
}

Spliced splice(const store::Record& record, store::Revision revision) {
  Spliced out;
  const std::string_view value = record.value();
  const uint32_t offset = splice_offset(record.note());
  out.before = value.substr(0, offset);
  out.after = value.substr(offset);
  if (offset == 0) return out;  // the bytes of somebody else, in etcd: as they are
  const auto [end, error] = std::to_chars(out.digits.data(), out.digits.data() + out.digits.size(), revision);
  out.digit_count = static_cast<uint8_t>(end - out.digits.data());
  return out;
}

}  // namespace proa::kube::api
