// The other bearer tokens: bootstrap tokens, with which nodes join (secrets of type bootstrap.kubernetes.io/token in
// kube-system), and those of a file.
#pragma once

#include <functional>
#include <memory>

#include "kube/apiserver/access/authenticator.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

// "abcdef.0123456789abcdef". `now` in seconds since 1970; `reader` outlives it.
std::unique_ptr<TokenSource> bootstrap_tokens(const Reader& reader, std::function<int64_t()> now);

// Lines of `token,user,uid,"group,group"`. Errors name the line. The file is read once, as upstream does.
Result<std::unique_ptr<TokenSource>> file_tokens(const std::string& path);

}  // namespace proa::kube::api
