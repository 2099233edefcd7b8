// What is told of a container beside its lines: its tag, and the labels and variables that options name.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace proa::logs {

using StringMap = std::map<std::string, std::string>;

// A container, as log drivers tell of it.
struct Subject {
  std::string id, name, created;       // name: without a slash; created: RFC 3339
  std::string image_id, image_name;    // image_id: sha256:...
  std::vector<std::string> args, env;  // the program and its arguments; NAME=VALUE
  StringMap labels;
  std::string log_path;
  std::string command() const;
};

// The options tag, labels, labels-regex, env and env-regex of a log driver, for one container.
// `tag` is the template's text where the option is not given; empty: there is none then.
Result<std::string> tag_of(const Subject& subject, const StringMap& options, std::string_view tag);
Result<StringMap> extras_of(const Subject& subject, const StringMap& options);
// Of both: json-file's "attrs"; empty for none of them.
Result<StringMap> attributes_of(const Subject& subject, const StringMap& options);

// "a=1,b=2", escaped as in the query of an address: what `logs --details` shows.
std::string details_text(const StringMap& attributes);
// ... of an object as JSON.
std::string details_text(std::string_view json);
std::string details_json(const StringMap& attributes);

// Docker's words for what is wrong with the options that name these.
Result<> check_tag(std::string_view format);
Result<> check_regex(std::string_view text);

}  // namespace proa::logs
