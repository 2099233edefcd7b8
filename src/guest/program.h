// Programs started in the guest, from the fields of kGo and kStart.
#pragma once

#include "shim/text.h"

namespace proa::guest {

struct User {
  uint32_t uid = 0, gid = 0;
  shim::Text<256> home;
};
// "", "NAME" or "UID", with ":GROUP" or ":GID": by the guest's /etc/passwd and /etc/group.
shim::Result<User> find_user(std::string_view text);

struct Streams {
  int in = -1, out = -1, err = -1;
  bool terminal = false;  // becomes the controlling one
};
// arg, env, cwd, user. Leads a session of its own; what cannot be executed says so on `err` and exits with 126 or 127.
// Its process id.
shim::Result<long> start_program(std::string_view fields, const Streams& streams);
// As shells tell it.
uint32_t exit_status(int code, int status);

}  // namespace proa::guest
