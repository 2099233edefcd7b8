// What is wrong with an object: field errors as upstream words them, and the walk over a document that finds them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "kube/object/value.h"
#include "kube/validation/names.h"

namespace proa::kube {

struct FieldError {
  enum class Type : uint8_t {
    kRequired,
    kInvalid,
    kUnsupported,
    kDuplicate,
    kForbidden,
    kTooLong,
    kTooMany,
    kNotFound,
    kTypeInvalid,
    kInternal
  };
  Type type = Type::kInvalid;
  std::string field;  // "spec.containers[0].name"
  std::string value;  // printed; empty if it is not shown
  std::string detail;

  std::string body() const;         // without the field: "Invalid value: -1: must be ..."
  std::string message() const;      // with it
  std::string_view reason() const;  // of a Status cause: "FieldValueInvalid"
};

// The same, of a part of a document, by where that is.
std::vector<FieldError> placed(std::string_view place, std::vector<FieldError> errors);

// One: its message; several: "[a, b]".
std::string aggregate(const std::vector<FieldError>& errors);

class Spot;

// Collects errors. The document outlives it.
class Checks {
 public:
  Spot root(const Value& object);
  const std::vector<FieldError>& errors() const { return errors_; }
  std::vector<FieldError> take() { return std::move(errors_); }

 private:
  friend class Spot;
  Arena arena_{1024};
  std::vector<FieldError> errors_;
};

// A place in the document and what is there; null where nothing is. Lives as long as its Checks.
class Spot {
 public:
  const Value& value() const { return value_; }
  bool present() const { return !value_.is_null(); }
  std::string_view text() const { return value_.as_string(); }
  int64_t number() const { return value_.as_int(); }
  bool empty() const { return value_.size() == 0 && text().empty() && !value_.is_number() && !value_.is_bool(); }
  size_t size() const { return value_.size(); }
  std::string path() const;

  Spot operator[](std::string_view key) const;  // a field
  Spot key(std::string_view key) const;         // of a map: "labels[a]"
  Spot item(size_t index) const;
  Spot at(std::initializer_list<std::string_view> path) const;
  // The same place, another value: a part that was read from it.
  Spot with(const Value& value) const { return {checks_, step_, value}; }

  void required(std::string_view detail = {}) const { add(FieldError::Type::kRequired, {}, detail); }
  void invalid(std::string_view detail) const;
  void invalid(const Faults& faults) const;
  void unsupported(std::vector<std::string_view> supported) const;
  void duplicate() const;
  void forbidden(std::string_view detail) const { add(FieldError::Type::kForbidden, {}, detail); }
  void too_long(size_t most) const;
  void too_many(size_t most) const;
  void not_found() const;
  void add(FieldError::Type type, std::string value, std::string_view detail) const;
  // As they are, of wherever they say.
  void add(const std::vector<FieldError>& errors) const;

  // Shorthands; each says whether it found nothing wrong.
  bool wants_text(std::string_view detail = {}) const;
  bool one_of(std::initializer_list<std::string_view> supported) const;  // empty is wrong as well
  bool not_negative() const;                                             // absent is fine
  bool positive() const;
  bool between(int64_t least, int64_t most) const;

 private:
  friend class Checks;
  struct Step {
    const Step* up;
    std::string_view name;
    size_t index;
    enum class Kind : uint8_t { kField, kKey, kItem } kind;
  };
  Spot(Checks* checks, const Step* step, const Value& value) : checks_(checks), step_(step), value_(value) {}
  Spot below(std::string_view name, size_t index, Step::Kind kind, const Value& value) const;
  static void append(const Step* step, std::string& out);

  Checks* checks_;
  const Step* step_;
  Value value_;
};

}  // namespace proa::kube
