// Reading members of JSON objects with errors that name the field. Includes Boost.JSON: for the .cc files
// that read documents.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::oci::image {

// A member that is absent or null is left at its default; one of another type is an error.
class Fields {
 public:
  static Result<Fields> of(const boost::json::value& value, std::string path);

  const boost::json::value* find(std::string_view key) const;
  std::string at(std::string_view key) const { return path_.empty() ? std::string(key) : cat(path_, ".", key); }
  const boost::json::object& object() const { return *object_; }

  Result<std::string> text(std::string_view key) const;
  Result<int64_t> integer(std::string_view key) const;
  Result<bool> flag(std::string_view key) const;
  Result<std::vector<std::string>> texts(std::string_view key) const;
  Result<std::map<std::string, std::string>> map(std::string_view key) const;
  // The keys of an object used as a set ({"80/tcp": {}}), sorted.
  Result<std::vector<std::string>> keys(std::string_view key) const;
  Result<std::optional<Fields>> fields(std::string_view key) const;
  // The objects of an array, at most `limit`.
  Result<std::vector<Fields>> list(std::string_view key, size_t limit) const;

 private:
  Fields(const boost::json::object& object, std::string path) : object_(&object), path_(std::move(path)) {}
  const boost::json::object* object_;
  std::string path_;
};

}  // namespace proa::oci::image
