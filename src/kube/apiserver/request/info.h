// What a request is about, from its method and target alone: upstream's RequestInfo.
#pragma once

#include <string>
#include <string_view>

namespace proa::kube::api {

struct RequestInfo {
  bool is_resource = false;
  // get list watch create update patch delete deletecollection; the method in lower case if it is no resource. A list
  // of one name (metadata.name=x in the field selector) has that name.
  std::string verb;
  std::string path;    // decoded, without query
  std::string prefix;  // "api" or "apis"
  std::string group, version;
  std::string ns;  // empty: all, or cluster scope
  std::string resource, subresource, name;
  // What stands behind the subresource: of pods/x/proxy/a/b "a/b".
  std::string rest;
};

// Never fails: what is no resource's path is another path.
RequestInfo parse_request(std::string_view method, std::string_view target);

}  // namespace proa::kube::api
