#include "kube/apiserver/registry/scan.h"

namespace proa::kube::api {
namespace {

// `at` is behind the opening quote; gives the place behind the closing one.
size_t string_end(std::string_view json, size_t at) {
  for (;;) {
    at = json.find_first_of("\"\\", at);
    if (at == std::string_view::npos) return json.size();
    if (json[at] == '"') return at + 1;
    at += 2;
  }
}

}  // namespace

size_t scan_value(std::string_view json, size_t at) {
  if (at >= json.size()) return json.size();
  if (json[at] == '"') return string_end(json, at + 1);
  if (json[at] != '{' && json[at] != '[') {
    const size_t end = json.find_first_of(",}]", at);
    return end == std::string_view::npos ? json.size() : end;
  }
  size_t depth = 0;
  while (at < json.size()) {
    at = json.find_first_of("\"{}[]", at);
    if (at == std::string_view::npos) return json.size();
    const char c = json[at++];
    if (c == '"')
      at = string_end(json, at);
    else if (c == '{' || c == '[')
      ++depth;
    else if (--depth == 0)
      return at;
  }
  return json.size();
}

MemberScan::MemberScan(std::string_view object) : json_(object.starts_with('{') ? object : std::string_view()) {
  at_ = 1;
}

bool MemberScan::next() {
  if (at_ < json_.size() && json_[at_] == ',') ++at_;
  if (at_ >= json_.size() || json_[at_] != '"') return false;
  const size_t key_end = string_end(json_, at_ + 1);
  if (key_end >= json_.size()) return false;
  key_ = json_.substr(at_ + 1, key_end - at_ - 2);
  const size_t begin = key_end + 1;  // the colon
  at_ = scan_value(json_, begin);
  value_ = json_.substr(begin, at_ - begin);
  return true;
}

std::string_view scan_member(std::string_view object, std::string_view key) {
  for (MemberScan scan(object); scan.next();)
    if (scan.key() == key) return scan.value();
  return {};
}

std::string_view scan_path(std::string_view object, std::string_view path) {
  while (!path.empty() && !object.empty()) {
    const size_t point = path.find('.');
    object = scan_member(object, path.substr(0, point));
    path.remove_prefix(point == std::string_view::npos ? path.size() : point + 1);
  }
  return object;
}

std::optional<std::string_view> plain_string(std::string_view raw) {
  if (raw.size() < 2 || raw.front() != '"' || raw.find('\\') != std::string_view::npos) return std::nullopt;
  return raw.substr(1, raw.size() - 2);
}

}  // namespace proa::kube::api
