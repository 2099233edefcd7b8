// The value rules of the specification that need no kernel. parse_spec() and its kin call these;
// callers that change a Spec afterwards (exec's flags, update's flags) can call them again.
// Errors name the field. Pure, but for warnings in the log.
#pragma once

#include <string_view>

#include "base/error.h"
#include "oci/spec/spec.h"

namespace proa::oci {

Result<> validate(const Spec& spec);
Result<> validate(const Process& process);
// `where`: what the object is called in errors ("linux.resources").
Result<> validate(const Resources& resources, std::string_view where);
Result<> validate(const Linux& config);
// A list as the kernel takes it in uid_map: at most 340 ranges of at least one id, within 32 bits, apart
// from each other on both sides. `field`: what the list is called in errors.
Result<> check_id_mappings(std::string_view field, const std::vector<IdMapping>& list);

}  // namespace proa::oci
