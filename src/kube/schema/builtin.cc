#include "kube/schema/table.h"

// builtin.S; eight bytes aligned.
extern "C" const char proa_kube_table[];
extern "C" const char proa_kube_table_end[];

namespace proa::kube {

const Table& builtin() {
  static const Table table({proa_kube_table, static_cast<size_t>(proa_kube_table_end - proa_kube_table)});
  return table;
}

}  // namespace proa::kube
