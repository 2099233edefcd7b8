// The fields of each object, one function per struct. Split over the parse_*.cc files.
#pragma once

#include "oci/spec/reader.h"
#include "oci/spec/spec.h"

namespace proa::oci::reader {

void fields(Object& in, Process& out);
void fields(Object& in, IdMapping& out);
void fields(Object& in, Linux& out);
void fields(Object& in, kernel::cgroup::Resources& out);

}  // namespace proa::oci::reader
