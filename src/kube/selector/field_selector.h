// Field selectors: "metadata.name=web,status.phase!=Running".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kube/object/value.h"
#include "kube/schema/table.h"

namespace proa::kube {

class FieldSelector {
 public:
  struct Term {
    std::string path;
    std::string value;
    bool equal = true;
  };

  // Paths are not checked.
  static Result<FieldSelector> parse(std::string_view text);
  // ... and the paths are those this resource can be selected by: "field label not supported: spec.foo".
  static Result<FieldSelector> parse(std::string_view text, const ResourceView& resource);

  bool matches(const ResourceView& resource, const Value& object) const;
  bool everything() const { return terms_.empty(); }
  const std::vector<Term>& terms() const { return terms_; }
  // The value that the selector wants a path to have; nothing if it may have several.
  const std::string* wanted(std::string_view path) const;

 private:
  std::vector<Term> terms_;
};

// What a selectable path of the object is, as text: "" for what is not set. `buffer` may hold the text.
std::string_view selectable_value(const ResourceView& resource, const Value& object, std::string_view path,
                                  std::string& buffer);

}  // namespace proa::kube
