// Digests and comparisons of secrets.
#pragma once

#include <string>
#include <string_view>

namespace proa::kube::api::pki {

// 32 bytes.
std::string sha256(std::string_view text);
// Takes as long whatever the difference is.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace proa::kube::api::pki
