// A connection of the host's, in a process of its own.
#pragma once

#include "guest/wire.h"

namespace proa::guest {

// Takes kStart and does it. A workload's status goes to the pipe `finished`.
void serve(int connection, int finished);

// do=put and do=get (copy.cc).
shim::Result<> put_files(int connection, std::string_view fields, Receiver& frames);
shim::Result<> get_files(int connection, std::string_view fields);

}  // namespace proa::guest
