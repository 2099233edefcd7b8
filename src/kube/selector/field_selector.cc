#include "kube/selector/field_selector.h"

#include <algorithm>

#include "base/text.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

// Up to an unescaped `stop`; backslashes escape themselves, commas and equals signs.
Result<std::string> unescaped(std::string_view& rest, std::string_view stops) {
  std::string out;
  size_t i = 0;
  for (; i < rest.size() && stops.find(rest[i]) == std::string_view::npos; ++i) {
    if (rest[i] != '\\') {
      out += rest[i];
      continue;
    }
    if (i + 1 >= rest.size() || std::string_view("\\,=").find(rest[i + 1]) == std::string_view::npos)
      return fail("invalid field selector: invalid escape sequence in '", rest, "'");
    out += rest[++i];
  }
  rest.remove_prefix(i);
  return out;
}

// Paths that are no fields, or fields whose zero is not printed.
std::string_view special(const Value& object, std::string_view path) {
  if (path == "status.successful") return "0";
  if (path == "spec.unschedulable" || path == "spec.hostNetwork") return "false";
  if (path == "status.replicas") return "0";
  if (path == "source") {
    const std::string_view component = object.string({"source", "component"});
    return component.empty() ? object.string("reportingComponent") : component;
  }
  if (path == "status.podIPs") return object.string({"status", "podIP"});
  return "";
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector out;
  std::string_view rest = text;
  while (!rest.empty()) {
    Term term;
    const std::string_view whole = rest;
    term.path = TRY(unescaped(rest, "=!,"));
    if (rest.starts_with("!=")) {
      term.equal = false;
      rest.remove_prefix(2);
    } else if (rest.starts_with("==")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('=')) {
      rest.remove_prefix(1);
    } else {
      if (term.path.empty() && rest.starts_with(',')) {
        rest.remove_prefix(1);
        continue;
      }
      return fail("invalid selector: '", text, "'; can't understand '", whole.substr(0, whole.find(',')), "'");
    }
    term.value = TRY(unescaped(rest, ",="));
    if (rest.starts_with('=')) return fail("invalid field selector: invalid value: unescaped = in '", text, "'");
    if (!rest.empty()) rest.remove_prefix(1);
    out.terms_.push_back(std::move(term));
  }
  return out;
}

Result<FieldSelector> FieldSelector::parse(std::string_view text, const ResourceView& resource) {
  FieldSelector out = TRY(parse(text));
  const std::vector<std::string_view> known = split(resource.selectable(), ' ');
  for (const Term& term : out.terms_) {
    if (term.path == "metadata.name" || (term.path == "metadata.namespace" && resource.namespaced())) continue;
    if (std::ranges::find(known, term.path) == known.end()) return fail("field label not supported: ", term.path);
  }
  return out;
}

bool FieldSelector::matches(const ResourceView& resource, const Value& object) const {
  std::string buffer;
  return std::ranges::all_of(terms_, [&](const Term& term) {
    return (selectable_value(resource, object, term.path, buffer) == term.value) == term.equal;
  });
}

const std::string* FieldSelector::wanted(std::string_view path) const {
  const auto at = std::ranges::find_if(terms_, [&](const Term& term) { return term.equal && term.path == path; });
  return at == terms_.end() ? nullptr : &at->value;
}

std::string_view selectable_value(const ResourceView& resource, const Value& object, std::string_view path,
                                  std::string& buffer) {
  const Value* at = &object;
  std::string_view rest = path == "status.successful" ? std::string_view("status.succeeded") : path;
  if (path == "source" && resource.kind() == "Event") return special(object, path);
  while (!rest.empty() && at != nullptr) at = at->find(cut(rest, '.'));
  if (at == nullptr || at->is_null()) return special(object, path);
  if (at->is_string()) return at->as_string();
  buffer.clear();
  if (at->is_array() && at->size() > 0) return at->items()[0].string("ip");
  write_json(buffer, *at);
  return buffer;
}

}  // namespace proa::kube
