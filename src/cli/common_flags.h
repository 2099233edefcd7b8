// Flags that many commands have.
#pragma once

#include "cli/command.h"

namespace proa::cli {

// Docker's other names of `ls` and `rm`.
inline constexpr std::string_view kListAliases[] = {"list"};
inline constexpr std::string_view kRemoveAliases[] = {"remove"};

inline constexpr std::string_view kOutputs[] = {"table", "json", "yaml"};
inline constexpr std::string_view kDocuments[] = {"json", "yaml"};
inline constexpr Flag kOutput{"output", "o", Kind::kText, "FORMAT", "table, json or yaml", "table", kOutputs};
// The same for those who print documents.
inline constexpr Flag kDocument{"output", "o", Kind::kText, "FORMAT", "json or yaml", "json", kDocuments};
inline constexpr Flag kFormat{"format", "", Kind::kText, "TEMPLATE",
                              "json, a Go template for each line, or 'table TEMPLATE'"};
inline constexpr Flag kForce{"force", "f", Kind::kBool, "", "do not ask"};
inline constexpr Flag kFilter{"filter", "f", Kind::kTexts, "NAME=VALUE", "only what matches; may be repeated"};
inline constexpr Flag kPruneFilter{"filter", "", Kind::kTexts, "NAME=VALUE", "only what matches label or until"};
inline constexpr Flag kQuiet{"quiet", "q", Kind::kBool, "", "show ids only"};
inline constexpr Flag kNoTrunc{"no-trunc", "", Kind::kBool, "", "show ids and texts in full"};
inline constexpr Flag kPlatform{"platform", "", Kind::kText, "OS/ARCH[/VARIANT]",
                                "of an image for several platforms, this one"};
inline constexpr Flag kTlsVerify{
    "tls-verify", "", Kind::kBool, "", "check the registry's certificate; false: take any, or plain HTTP", "true"};

// --format of a command that shows documents: "json, or a Go template for each image".
constexpr Flag format_of(std::string_view help) { return {"format", "f", Kind::kText, "TEMPLATE", help}; }
// The folder that a group of commands works on.
constexpr Flag root_flag(std::string_view help) {
  return {"root", "", Kind::kText, "DIR", help, "", {}, Offer::kFolder};
}

// One of Docker's that does nothing here, or is refused (foreign_flags.h); not in the help.
constexpr Flag hidden(std::string_view name, std::string_view letters, Kind kind, std::string_view initial = {}) {
  return {name, letters,         kind, kind == Kind::kBool ? "" : "VALUE", "taken for compatibility", initial,
          {},   Offer::kNothing, true};
}
inline constexpr Flag kContentTrust = hidden("disable-content-trust", "", Kind::kBool, "true");

}  // namespace proa::cli
