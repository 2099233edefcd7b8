#include "kube/apiserver/request/options.h"

#include "base/error.h"
#include "base/text.h"
#include "kube/validation/validate.h"
#include "net/headers.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

constexpr size_t kLongestManager = 128;

// Present, and not "false" or "0".
bool parse_bool(const net::Query& query, std::string_view name) {
  const auto text = query.find(name);
  return text && !net::equals_ignoring_case(*text, "false") && *text != "0";
}

Answer<std::optional<int64_t>> parse_int(const net::Query& query, std::string_view name) {
  const std::string_view text = query.get(name);
  if (text.empty()) return std::nullopt;
  const auto number = parse_number<int64_t>(text.starts_with('+') ? text.substr(1) : text);
  if (!number) return refuse(bad_request(cat("strconv.ParseInt: parsing \"", text, "\": invalid syntax")));
  return number;
}

FieldError unsupported(std::string_view field, std::string_view value, std::string_view supported) {
  return {FieldError::Type::kUnsupported, std::string(field), cat("\"", value, "\""),
          cat("supported values: ", supported)};
}
FieldError forbidden_field(std::string_view field, std::string_view why) {
  return {FieldError::Type::kForbidden, std::string(field), "", std::string(why)};
}

Answer<> judge(std::string_view kind, const std::vector<FieldError>& errors) {
  if (errors.empty()) return {};
  return refuse(invalid("meta.k8s.io", kind, "", errors));
}

void check_dry_run(const std::vector<std::string_view>& values, std::vector<FieldError>& errors) {
  for (const std::string_view value : values)
    if (value != "All") {
      std::string list;
      for (const std::string_view one : values) list += cat(list.empty() ? "" : ",", "\"", one, "\"");
      return errors.push_back(
          {FieldError::Type::kUnsupported, "dryRun", cat("[", list, "]"), "supported values: \"All\""});
    }
}

void check_manager(std::string_view manager, bool apply, std::vector<FieldError>& errors) {
  if (manager.empty() && apply)
    errors.push_back({FieldError::Type::kRequired, "fieldManager", "", "is required for apply patch"});
  if (manager.size() > kLongestManager)
    errors.push_back(
        {FieldError::Type::kTooLong, "fieldManager", "", cat("may not be more than ", kLongestManager, " bytes")});
  for (const char c : manager)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return errors.push_back({FieldError::Type::kInvalid, "fieldManager", cat("\"", manager, "\""),
                               "should only contain printable characters"});
}

VersionMatch match_of(std::string_view text, std::vector<FieldError>& errors) {
  if (text == "Exact") return VersionMatch::kExact;
  if (text == "NotOlderThan") return VersionMatch::kNotOlderThan;
  if (!text.empty()) errors.push_back(unsupported("resourceVersionMatch", text, "\"Exact\", \"NotOlderThan\", \"\""));
  return VersionMatch::kUnset;
}

void check_watch(const ListOptions& options, std::vector<FieldError>& errors) {
  const bool matches = options.match != VersionMatch::kUnset;
  if (!options.send_initial_events) {
    if (matches)
      errors.push_back(forbidden_field(
          "resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
    return;
  }
  if (!matches)
    errors.push_back(forbidden_field("resourceVersionMatch",
                                     "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
  else if (options.match != VersionMatch::kNotOlderThan)
    errors.push_back(unsupported("resourceVersionMatch", "Exact", "\"NotOlderThan\""));
  if (!options.continue_token.empty())
    errors.push_back(
        forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
}

void check_list(const ListOptions& options, std::vector<FieldError>& errors) {
  if (options.watch) return check_watch(options, errors);
  if (options.send_initial_events)
    errors.push_back(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  if (options.match == VersionMatch::kUnset) return;
  if (options.resource_version.empty())
    errors.push_back(forbidden_field("resourceVersionMatch",
                                     "resourceVersionMatch is forbidden unless resourceVersion is provided"));
  if (!options.continue_token.empty())
    errors.push_back(
        forbidden_field("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
  if (options.match == VersionMatch::kExact && options.resource_version == "0")
    errors.push_back(forbidden_field("resourceVersionMatch",
                                     "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
}

Propagation propagation_of(std::string_view text, std::vector<FieldError>& errors) {
  if (text == "Orphan") return Propagation::kOrphan;
  if (text == "Background") return Propagation::kBackground;
  if (text == "Foreground") return Propagation::kForeground;
  if (!text.empty())
    errors.push_back(unsupported("propagationPolicy", text, "\"Background\", \"Foreground\", \"Orphan\", \"nil\""));
  return Propagation::kDefault;
}

void set_orphan(DeleteOptions& options, bool orphan, std::vector<FieldError>& errors) {
  if (options.propagation != Propagation::kDefault)
    errors.push_back({FieldError::Type::kInvalid, "propagationPolicy", "",
                      "orphanDependents and deletionPropagation cannot be both set"});
  options.propagation = orphan ? Propagation::kOrphan : Propagation::kBackground;
}

Answer<DeleteOptions> delete_options_of_body(const Value& body) {
  DeleteOptions out;
  std::vector<FieldError> errors;
  std::vector<std::string_view> dry_run;
  for (const Value& value : body.get("dryRun").items()) dry_run.push_back(value.as_string());
  check_dry_run(dry_run, errors);
  out.dry_run = !dry_run.empty();
  if (const Value* grace = body.find("gracePeriodSeconds"); grace != nullptr && grace->is_int())
    out.grace_seconds = grace->as_int();
  out.propagation = propagation_of(body.string("propagationPolicy"), errors);
  if (const Value* orphan = body.find("orphanDependents"); orphan != nullptr && orphan->is_bool())
    set_orphan(out, orphan->as_bool(), errors);
  if (const Value uid = body.get({"preconditions", "uid"}); uid.is_string()) out.uid = uid.as_string();
  if (const Value version = body.get({"preconditions", "resourceVersion"}); version.is_string())
    out.resource_version = version.as_string();
  out.ignore_store_read_error = body.get("ignoreStoreReadErrorWithClusterBreakingPotential").as_bool();
  if (auto fine = judge("DeleteOptions", errors); !fine) return refuse(std::move(fine.error()));
  return out;
}

}  // namespace

Answer<ListOptions> parse_list_options(std::string_view text) {
  const net::Query query(text);
  ListOptions out;
  std::vector<FieldError> errors;
  out.label_selector = query.get("labelSelector");
  out.field_selector = query.get("fieldSelector");
  out.resource_version = query.get("resourceVersion");
  out.match = match_of(query.get("resourceVersionMatch"), errors);
  out.continue_token = query.get("continue");
  out.watch = parse_bool(query, "watch");
  out.bookmarks = parse_bool(query, "allowWatchBookmarks");
  if (query.contains("sendInitialEvents")) out.send_initial_events = parse_bool(query, "sendInitialEvents");
  out.limit = TRY(parse_int(query, "limit")).value_or(0);
  out.timeout_seconds = TRY(parse_int(query, "timeoutSeconds"));
  check_list(out, errors);
  if (auto fine = judge("ListOptions", errors); !fine) return refuse(std::move(fine.error()));
  return out;
}

Answer<WriteOptions> parse_write_options(std::string_view text, WriteKind kind) {
  const net::Query query(text);
  const bool apply = kind == WriteKind::kApply;
  WriteOptions out;
  std::vector<FieldError> errors;
  const std::vector<std::string_view> dry_run = query.all("dryRun");
  check_dry_run(dry_run, errors);
  out.dry_run = !dry_run.empty();
  out.field_manager = query.get("fieldManager");
  check_manager(out.field_manager, apply, errors);
  const std::string_view validation = query.get("fieldValidation");
  if (validation == "Strict")
    out.validation = FieldValidation::kStrict;
  else if (validation == "Ignore")
    out.validation = FieldValidation::kIgnore;
  else if (validation != "Warn" && !validation.empty())
    errors.push_back(unsupported("fieldValidation", validation, "\"\", \"Ignore\", \"Strict\", \"Warn\""));
  out.force = parse_bool(query, "force");
  if (kind == WriteKind::kPatch && query.contains("force"))
    errors.push_back(forbidden_field("force", "may not be specified for non-apply patch"));
  constexpr std::string_view kKinds[] = {"CreateOptions", "UpdateOptions", "PatchOptions", "PatchOptions"};
  if (auto fine = judge(kKinds[static_cast<size_t>(kind)], errors); !fine) return refuse(std::move(fine.error()));
  return out;
}

Answer<DeleteOptions> parse_delete_options(std::string_view text, const Value& body) {
  if (!body.is_null()) return delete_options_of_body(body);
  const net::Query query(text);
  DeleteOptions out;
  std::vector<FieldError> errors;
  const std::vector<std::string_view> dry_run = query.all("dryRun");
  check_dry_run(dry_run, errors);
  out.dry_run = !dry_run.empty();
  out.grace_seconds = TRY(parse_int(query, "gracePeriodSeconds"));
  out.propagation = propagation_of(query.get("propagationPolicy"), errors);
  if (query.contains("orphanDependents")) set_orphan(out, parse_bool(query, "orphanDependents"), errors);
  if (auto fine = judge("DeleteOptions", errors); !fine) return refuse(std::move(fine.error()));
  return out;
}

}  // namespace proa::kube::api
