// Flags that many commands have.
#pragma once

#include "cli/command.h"

namespace proa::cli {

inline constexpr std::string_view kOutputs[] = {"table", "json", "yaml"};
inline constexpr std::string_view kDocuments[] = {"json", "yaml"};
inline constexpr Flag kOutput{"output", "o", Kind::kText, "FORMAT", "table, json or yaml", "table", kOutputs};
inline constexpr Flag kFormat{"format", "", Kind::kText, "TEMPLATE",
                              "json, a Go template for each line, or 'table TEMPLATE'"};
inline constexpr Flag kForce{"force", "f", Kind::kBool, "", "do not ask"};
inline constexpr Flag kFilter{"filter", "f", Kind::kTexts, "NAME=VALUE", "only what matches; may be repeated"};
inline constexpr Flag kPruneFilter{"filter", "", Kind::kTexts, "NAME=VALUE", "only what matches label or until"};
inline constexpr Flag kNoTrunc{"no-trunc", "", Kind::kBool, "", "show ids and texts in full"};

}  // namespace proa::cli
