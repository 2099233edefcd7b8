#include "vmm/mmds/metadata.h"

#include <boost/json.hpp>

#include "base/json.h"

namespace proa::vmm {

namespace {

// RFC 7396, section 2. Depth is bounded by the parser's.
void merge(boost::json::value& target, const boost::json::value& patch) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  if (!target.is_object()) target.emplace_object();
  boost::json::object& object = target.get_object();
  for (const auto& [name, value] : patch.get_object()) {
    if (value.is_null())
      object.erase(name);
    else
      merge(object[name], value);
  }
}

// "/a//b/" as "/a/b": how JSON pointers have it.
std::string pointer_of(std::string_view path) {
  std::string pointer;
  for (const char c : path)
    if (c != '/' || !pointer.ends_with('/')) pointer += c;
  if (pointer.ends_with('/')) pointer.pop_back();
  return pointer;
}

std::expected<std::string, Metadata::Missing> imds_text(const boost::json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (!value.is_object()) return std::unexpected(Metadata::Missing::kUnsupported);
  std::string out;
  for (const auto& [name, inner] : value.get_object()) {
    if (!out.empty()) out += '\n';
    out += std::string_view(name);
    if (inner.is_object()) out += '/';
  }
  return out;
}

}  // namespace

Metadata::Metadata(std::string instance, size_t limit, const Clock& clock)
    : limit_(limit), tokens_(std::move(instance), clock) {}
Metadata::~Metadata() = default;

void Metadata::configure(Version version, bool imds_compatible) {
  const std::lock_guard lock(mutex_);
  version_ = version;
  imds_compatible_ = imds_compatible;
}

Metadata::Version Metadata::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

Result<> Metadata::keep(boost::json::value document) {
  if (json::to_line(document).size() > limit_)
    return std::unexpected(Error("The MMDS patch request doesn't fit.", EFBIG));
  document_ = std::make_unique<boost::json::value>(std::move(document));
  return {};
}

Result<> Metadata::put(const boost::json::value& document) {
  const std::lock_guard lock(mutex_);
  return keep(document);
}

Result<> Metadata::patch(const boost::json::value& change) {
  const std::lock_guard lock(mutex_);
  if (!document_) return std::unexpected(Error("The MMDS data store is not initialized.", ENOENT));
  boost::json::value merged = *document_;
  merge(merged, change);
  return keep(std::move(merged));
}

std::string Metadata::document() const {
  const std::lock_guard lock(mutex_);
  return !document_ || document_->is_null() ? "{}" : json::to_line(*document_);
}

std::expected<std::string, Metadata::Missing> Metadata::at(std::string_view path, Format format) const {
  const std::lock_guard lock(mutex_);
  if (!document_) return std::unexpected(Missing::kNotFound);
  boost::system::error_code error;
  const boost::json::value* found = std::as_const(*document_).find_pointer(pointer_of(path), error);
  if (found == nullptr) return std::unexpected(Missing::kNotFound);
  if (format == Format::kJson && !imds_compatible_) return json::to_line(*found);
  return imds_text(*found);
}

Result<std::string> Metadata::make_token(uint64_t seconds) {
  const std::lock_guard lock(mutex_);
  return tokens_.make(seconds);
}

bool Metadata::valid_token(std::string_view token) const {
  const std::lock_guard lock(mutex_);
  return tokens_.valid(token);
}

}  // namespace proa::vmm
