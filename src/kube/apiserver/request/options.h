// The options of requests: query parameters, and the DeleteOptions that stand in a body.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/answer.h"
#include "kube/object/value.h"

namespace proa::kube::api {

enum class FieldValidation : uint8_t { kStrict, kWarn, kIgnore };
enum class VersionMatch : uint8_t { kUnset, kExact, kNotOlderThan };
enum class Propagation : uint8_t { kDefault, kOrphan, kBackground, kForeground };

struct ListOptions {
  std::string label_selector, field_selector;
  std::string resource_version;
  VersionMatch match = VersionMatch::kUnset;
  int64_t limit = 0;
  std::string continue_token;
  std::optional<int64_t> timeout_seconds;
  bool watch = false;
  bool bookmarks = false;
  std::optional<bool> send_initial_events;
};

struct WriteOptions {
  bool dry_run = false;
  std::string field_manager;
  FieldValidation validation = FieldValidation::kWarn;
  bool force = false;  // of apply
  // The object has its managedFields already (server-side apply).
  bool applied = false;
  // The object was brought into its kind's form as it was read.
  bool in_form = false;
};

struct DeleteOptions {
  bool dry_run = false;
  std::optional<int64_t> grace_seconds;
  Propagation propagation = Propagation::kDefault;
  std::optional<std::string> uid, resource_version;  // preconditions
  bool ignore_store_read_error = false;
};

// Errors name the parameter, in upstream's words.
Answer<ListOptions> parse_list_options(std::string_view query);
enum class WriteKind : uint8_t { kCreate, kUpdate, kPatch, kApply };
Answer<WriteOptions> parse_write_options(std::string_view query, WriteKind kind);
// `body` is a decoded DeleteOptions, or null.
Answer<DeleteOptions> parse_delete_options(std::string_view query, const Value& body);

}  // namespace proa::kube::api
