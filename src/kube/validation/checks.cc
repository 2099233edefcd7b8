#include "kube/validation/checks.h"

#include <algorithm>

#include "base/error.h"
#include "kube/object/json.h"

namespace proa::kube {
namespace {

struct TypeNames {
  std::string_view text, reason;
};

// By FieldError::Type.
constexpr TypeNames kNames[] = {
    {"Required value", "FieldValueRequired"},
    {"Invalid value", "FieldValueInvalid"},
    {"Unsupported value", "FieldValueNotSupported"},
    {"Duplicate value", "FieldValueDuplicate"},
    {"Forbidden", "FieldValueForbidden"},
    {"Too long", "FieldValueTooLong"},
    {"Too many", "FieldValueTooMany"},
    {"Not found", "FieldValueNotFound"},
    {"Invalid value", "FieldValueTypeInvalid"},
    {"Internal error", "InternalError"},
};

std::string printed(const Value& value) {
  if (value.is_string()) return quoted(value.as_string());
  return write_json(value);
}

}  // namespace

std::string FieldError::body() const {
  std::string out(kNames[static_cast<size_t>(type)].text);
  if (!value.empty()) out += cat(": ", value);
  if (!detail.empty()) out += cat(": ", detail);
  return out;
}

std::string FieldError::message() const { return cat(field, ": ", body()); }

std::string_view FieldError::reason() const { return kNames[static_cast<size_t>(type)].reason; }

std::vector<FieldError> placed(std::string_view place, std::vector<FieldError> errors) {
  for (FieldError& error : errors)
    error.field = error.field == "<nil>" ? std::string(place) : cat(place, ".", error.field);
  return errors;
}

std::string aggregate(const std::vector<FieldError>& errors) {
  std::vector<std::string> messages;
  for (const FieldError& error : errors) {
    std::string message = error.message();
    if (std::ranges::find(messages, message) == messages.end()) messages.push_back(std::move(message));
  }
  if (messages.empty()) return {};
  if (messages.size() == 1) return messages[0];
  std::string out = "[";
  for (const std::string& message : messages) out += cat(out.size() > 1 ? ", " : "", message);
  return out + "]";
}

Spot Checks::root(const Value& object) { return {this, nullptr, object}; }

void Spot::append(const Step* step, std::string& out) {
  if (step == nullptr) return;
  append(step->up, out);
  switch (step->kind) {
    case Step::Kind::kField: out += cat(out.empty() ? "" : ".", step->name); break;
    case Step::Kind::kKey: out += cat("[", step->name, "]"); break;
    case Step::Kind::kItem: out += cat("[", step->index, "]"); break;
  }
}

std::string Spot::path() const {
  std::string out;
  append(step_, out);
  return out.empty() ? "<nil>" : out;
}

Spot Spot::below(std::string_view name, size_t index, Step::Kind kind, const Value& value) const {
  auto* step = static_cast<Step*>(checks_->arena_.allocate(sizeof(Step)));
  *step = {step_, name, index, kind};
  return {checks_, step, value};
}

Spot Spot::operator[](std::string_view key) const { return below(key, 0, Step::Kind::kField, value_.get(key)); }
Spot Spot::key(std::string_view key) const { return below(key, 0, Step::Kind::kKey, value_.get(key)); }
Spot Spot::item(size_t index) const { return below({}, index, Step::Kind::kItem, value_.items()[index]); }

Spot Spot::at(std::initializer_list<std::string_view> path) const {
  Spot out = *this;
  for (const std::string_view key : path) out = out[key];
  return out;
}

void Spot::add(FieldError::Type type, std::string value, std::string_view detail) const {
  checks_->errors_.push_back({type, path(), std::move(value), std::string(detail)});
}

void Spot::add(const std::vector<FieldError>& errors) const {
  checks_->errors_.insert(checks_->errors_.end(), errors.begin(), errors.end());
}

void Spot::invalid(std::string_view detail) const { add(FieldError::Type::kInvalid, printed(value_), detail); }

void Spot::invalid(const Faults& faults) const {
  for (const std::string& fault : faults) invalid(fault);
}

void Spot::unsupported(std::vector<std::string_view> supported) const {
  std::ranges::sort(supported);
  std::string detail = "supported values: ";
  for (size_t i = 0; i < supported.size(); ++i) detail += cat(i == 0 ? "" : ", ", quoted(supported[i]));
  add(FieldError::Type::kUnsupported, printed(value_), supported.empty() ? std::string_view() : detail);
}

void Spot::duplicate() const { add(FieldError::Type::kDuplicate, printed(value_), {}); }
void Spot::not_found() const { add(FieldError::Type::kNotFound, printed(value_), {}); }

void Spot::too_long(size_t most) const {
  add(FieldError::Type::kTooLong, {}, cat("may not be more than ", most, " bytes"));
}

void Spot::too_many(size_t most) const {
  add(FieldError::Type::kTooMany, cat(size()), cat("must have at most ", most, most == 1 ? " item" : " items"));
}

bool Spot::wants_text(std::string_view detail) const {
  if (text().empty()) required(detail);
  return !text().empty();
}

bool Spot::one_of(std::initializer_list<std::string_view> supported) const {
  if (std::ranges::find(supported, text()) != supported.end()) return true;
  if (text().empty() && std::ranges::find(supported, "") == supported.end())
    required();
  else
    unsupported(supported);
  return false;
}

bool Spot::not_negative() const {
  if (!present() || number() >= 0) return true;
  invalid("must be greater than or equal to 0");
  return false;
}

bool Spot::positive() const {
  if (number() > 0) return true;
  invalid("must be greater than 0");
  return false;
}

bool Spot::between(int64_t least, int64_t most) const {
  if (number() >= least && number() <= most) return true;
  invalid(cat("must be between ", least, " and ", most, ", inclusive"));
  return false;
}

}  // namespace proa::kube
