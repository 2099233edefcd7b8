#include "kube/openapi/gnostic.h"

#include <gtest/gtest.h>

#include "kube/openapi/openapi.h"
#include "kube/store/wire.h"

namespace proa::kube {
namespace {

// The first field of this number, as bytes.
std::string_view field(std::string_view message, uint32_t number) {
  store::WireReader in(message);
  while (in.next())
    if (in.field() == number) return in.bytes();
  return {};
}

TEST(Gnostic, SchemasAreMessages) {
  const std::string out = openapi_v2_protobuf(
      R"({"swagger":"2.0","info":{"title":"K","version":"v1"},"paths":{"/a":{"get":{"operationId":"readA",
      "parameters":[{"name":"pretty","in":"query","type":"string"}],"responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/A"}}},
      "x-kubernetes-action":"get"}}},"definitions":{"A":{"type":"object","required":["n"],"properties":{"n":{"type":"integer","minimum":1}}}}})");
  EXPECT_EQ(field(out, 1), "2.0");
  const std::string_view path = field(field(out, 8), 2);
  EXPECT_EQ(field(path, 1), "/a");
  const std::string_view get = field(field(path, 2), 2);
  EXPECT_EQ(field(get, 5), "readA");
  EXPECT_EQ(field(field(field(field(field(get, 8), 1), 2), 3), 4), "pretty");
  EXPECT_EQ(field(field(field(field(field(field(get, 9), 1), 2), 1), 2), 1),
            std::string_view("\x0a\x0f#/definitions/A", 17));
  EXPECT_EQ(field(field(get, 13), 1), "x-kubernetes-action");
  EXPECT_EQ(field(field(field(get, 13), 2), 2), "\"get\"\n");
  const std::string_view schema = field(field(field(out, 9), 1), 2);
  EXPECT_EQ(field(field(schema, 22), 1), "object");
  EXPECT_EQ(field(schema, 19), "n");
  EXPECT_EQ(field(field(field(schema, 25), 1), 1), "n");
}

TEST(Gnostic, TakesTheWholeDocument) {
  const Table* const tables[] = {&builtin()};
  const std::string out = openapi_v2_protobuf(openapi_v2(tables));
  EXPECT_GT(out.size(), 100'000u);
  store::WireReader in(out);
  while (in.next()) continue;
  EXPECT_FALSE(in.failed());
}

}  // namespace
}  // namespace proa::kube
