#include "base/template.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.h"

namespace proa {
namespace {

const char* const kDocument = R"({"Name":"web","Size":7,"Tags":["a","b"],"Labels":{"k":"v"},"Empty":[],"None":null,
                                  "Config":{"Env":["A=1"]},"Pairs":[{"A":1},{"A":2}],"Rows":[{"Labels":"a=1,b=2"}]})";

std::string render(std::string_view text) {
  const auto document = *json::parse(kDocument);
  const auto parsed = Template::parse(text);
  if (!parsed) return "error: " + parsed.error().message();
  const auto out = parsed->render(document);
  return out ? *out : "error: " + out.error().message();
}

TEST(Template, ShowsAsGoDoes) {
  const std::pair<const char*, const char*> cases[] = {
      {"plain", "plain"},
      {"{{.Name}} {{ .Size }}", "web 7"},
      {"{{.Tags}} {{.Labels}} {{.None}}", "[a b] map[k:v] <nil>"},
      {"{{json .Tags}}", R"(["a","b"])"},
      {"{{.Tags | json}}", R"(["a","b"])"},
      {"{{index .Labels \"k\"}}{{index .Tags 1}}{{index .Labels \"x\"}}", "vb"},
      {"{{range .Tags}}<{{.}}>{{end}}", "<a><b>"},
      {"{{range $i, $t := .Tags}}{{$i}}{{$t}}{{$.Name}} {{end}}", "0aweb 1bweb "},
      {"{{range .Empty}}x{{else}}none{{end}}", "none"},
      {"{{range $k, $v := .Labels}}{{$k}}={{$v}}{{end}}", "k=v"},
      {"{{if .Empty}}a{{else if eq .Size 7}}b{{else}}c{{end}}", "b"},
      {"{{with .Config}}{{.Env}}{{end}}", "[A=1]"},
      {"{{(index .Pairs 0).A}} {{json (index .Pairs 1).A}}", "1 2"},
      {"{{range .Rows}}{{.Label \"b\"}}{{.Label \"c\"}}{{end}}", "2"},
      {"{{len .Tags}}{{len .Name}}", "23"},
      {"{{join .Tags \", \"}}", "a, b"},
      {"{{upper .Name}}{{title .Name}}", "WEBWeb"},
      {"{{truncate .Name 2}}|{{printf \"%-5s|%3d\" .Name .Size}}", "we|web  |  7"},
      {"a {{- .Name -}} b", "awebb"},
      {"{{/* note */}}x", "x"},
      {"{{if and .Name (not .Empty)}}y{{end}}{{if or .None .Empty}}n{{end}}", "y"},
      {"{{if gt .Size 6}}big{{end}}", "big"},
      {"{{(index .Config.Env 0) | lower}}", "a=1"},
  };
  for (const auto& [text, out] : cases) EXPECT_EQ(render(text), out) << text;
}

TEST(Template, SaysWhatIsWrong) {
  EXPECT_NE(render("{{.Nope}}").find("no field .Nope"), std::string::npos);
  EXPECT_NE(render("{{.Name").find("not closed"), std::string::npos);
  EXPECT_NE(render("{{if .Name}}x").find("{{end}} is missing"), std::string::npos);
  EXPECT_NE(render("{{end}}").find("no beginning"), std::string::npos);
  EXPECT_NE(render("{{frob .Name}}").find("frob"), std::string::npos);
  EXPECT_NE(render("{{.Name.X}}").find(".X"), std::string::npos);
  EXPECT_NE(render("{{index .Tags 9}}").find("out of range"), std::string::npos);
  EXPECT_NE(render("{{\"x}}").find("quote"), std::string::npos);
  EXPECT_NE(render("{{}}").find("empty"), std::string::npos);
}

}  // namespace
}  // namespace proa
