// The eight namespace types: the specification's word, the kernel's flag, the file under /proc/PID/ns.
#pragma once

#include <string_view>

#include "kernel/names.h"
#include "oci/spec/spec.h"

namespace proa::oci {

struct NamespaceInfo {
  std::string_view name;     // "network"
  const char* proc_name;     // "net"
  unsigned long clone_flag;  // CLONE_NEWNET
};

const NamespaceInfo& info(NamespaceType type);
// Names with the values of NamespaceType.
kernel::NameTable namespace_names();

}  // namespace proa::oci
