// What a step of a request gives: a value, or the Status that is the answer. TRY and CO_TRY hand it on.
#pragma once

#include <expected>
#include <utility>

#include "kube/object/status.h"

namespace proa::kube::api {

template <typename T = void>
using Answer = std::expected<T, ApiError>;

inline std::unexpected<ApiError> refuse(ApiError error) { return std::unexpected(std::move(error)); }

}  // namespace proa::kube::api
