// Continue tokens: where a list in chunks goes on, and at which revision.
#pragma once

#include <string>
#include <string_view>

#include "kube/apiserver/answer.h"
#include "kube/store/types.h"

namespace proa::kube::api {

struct Cursor {
  store::Revision revision = 0;  // -1: whatever is there now, after a snapshot was compacted
  std::string start;             // the first key of the rest, without the prefix of the resource
};

std::string write_cursor(const Cursor& cursor);
// 400 for what is no token of ours.
Answer<Cursor> read_cursor(std::string_view token);

}  // namespace proa::kube::api
