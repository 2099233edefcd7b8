// Random identifiers from the kernel's generator, and the checks of names that users give.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace proa {

// `bytes` random bytes as lower-case hex. Fails only if getrandom(2) does.
Result<std::string> random_hex(size_t bytes);
Result<uint64_t> random_number();
// 64 hex digits: the id of a container, image, network. Never all decimal digits in the first
// twelve, so that a short id is not read as a number.
Result<std::string> random_id();
// Version 4 UUID (RFC 9562), lower case.
Result<std::string> random_uuid();
// What people are shown and may type back: the first twelve digits.
inline std::string_view short_id(std::string_view id) { return id.substr(0, 12); }

// An OCI container id as runc takes it: letters, digits and _ + - . ; not "." or ".."; at most 1024
// characters. Safe as a file name.
Result<> check_container_id(std::string_view id);
// A name a user gives: a letter or digit, then letters, digits and _ . - ; at most 255 characters.
// `what` names it in the error: "container name", "volume".
Result<> check_name(std::string_view name, std::string_view what);

}  // namespace proa
