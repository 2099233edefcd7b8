// Copies a folder's content into another one by descriptors ("tmpcopyup").
#pragma once

#include <sys/types.h>

#include <functional>

#include "base/error.h"

namespace proa::oci::runtime {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};
// Whose a copy is to be, by whose the original is.
using OwnerOf = std::function<Result<Owner>(Owner)>;

// Everything below `from` into `to` (both open folders): kind, mode, owner, times, extended
// attributes, links as links. Folders that are there are filled, files replaced. Symlinks are never followed, mounts
// below `from` are not entered.
Result<> copy_tree(int from, int to, const OwnerOf& owner_of = {});
// Whether there is nothing in the open folder.
Result<bool> is_empty_folder(int fd);

}  // namespace proa::oci::runtime
