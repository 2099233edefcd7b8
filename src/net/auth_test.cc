#include "net/auth.h"

#include <gtest/gtest.h>

#include "net/base64.h"
#include "net/conditional.h"

namespace proa::net {

namespace {

TEST(Challenges, BearerOfARegistry) {
  const auto found = parse_challenges(
      R"(Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push",error="x \"y\"")");
  ASSERT_EQ(1u, found.size());
  EXPECT_EQ("bearer", found[0].scheme);
  EXPECT_EQ("https://auth.example/token", found[0].get("realm"));
  EXPECT_EQ("repository:a/b:pull,push", found[0].get("scope"));
  EXPECT_EQ("x \"y\"", found[0].get("error"));
  EXPECT_EQ(found[0].parameters, parse_challenges(found[0].text())[0].parameters);
}

TEST(Challenges, SeveralInOneValue) {
  const auto found = parse_challenges(R"(Negotiate, Basic realm="a", charset=UTF-8 , NTLM TlRM==, Bearer realm=b)");
  ASSERT_EQ(4u, found.size());
  EXPECT_EQ("negotiate", found[0].scheme);
  EXPECT_EQ("UTF-8", found[1].get("charset"));
  EXPECT_EQ("TlRM==", found[2].token68);
  EXPECT_EQ("b", found[3].get("realm"));
}

TEST(Challenges, MalformedEndsTheList) {
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges("\"x\"").empty());
  const auto found = parse_challenges(R"(Basic realm="open)");
  ASSERT_EQ(1u, found.size());
  EXPECT_TRUE(found[0].parameters.empty());
}

TEST(Credentials, Basic) {
  EXPECT_EQ("Basic dXNlcjpwYTpzcw==", basic_authorization("user", "pa:ss"));
  const auto back = parse_basic("basic dXNlcjpwYTpzcw==");
  EXPECT_EQ("user", back->user);
  EXPECT_EQ("pa:ss", back->password);
  EXPECT_FALSE(parse_basic("Bearer x"));
  EXPECT_FALSE(parse_basic("Basic !!!"));
  EXPECT_EQ("t.o.k", *parse_bearer("Bearer t.o.k"));
  EXPECT_TRUE(equals_secret("abc", "abc"));
  EXPECT_FALSE(equals_secret("abc", "abd"));
  EXPECT_FALSE(equals_secret("abc", ""));
  EXPECT_FALSE(equals_secret("", "a"));
}

TEST(Base64, BothAlphabets) {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "\xff\xfe\xfd\xfc"}) {
    EXPECT_EQ(text, *base64_decode(base64_encode(text)));
    EXPECT_EQ(text, *base64_decode(base64url_encode(text)));
  }
  EXPECT_EQ("__79_A", base64url_encode("\xff\xfe\xfd\xfc"));
  for (const char* bad : {"a", "ab=c", "a b", "aa===", "ab"}) EXPECT_FALSE(base64_decode(bad)) << bad;
}

TEST(MediaTypes, ParseAndNegotiate) {
  const auto type = MediaType::parse("Application/JSON; charset=\"utf-8\" ;as=Table;v=v1");
  EXPECT_EQ("application/json", type->essence());
  EXPECT_EQ("utf-8", type->get("charset"));
  EXPECT_EQ("Table", type->get("as"));
  EXPECT_FALSE(MediaType::parse("json"));
  const std::vector<std::string_view> offered = {"application/json", "application/yaml", "text/plain"};
  EXPECT_EQ("application/json", *negotiate("", offered));
  EXPECT_EQ("application/json", *negotiate("*/*", offered));
  EXPECT_EQ("application/yaml", *negotiate("application/json;q=0.5, application/yaml", offered));
  EXPECT_EQ("text/plain", *negotiate("text/*, application/*;q=0.1", offered));
  EXPECT_EQ("application/yaml", *negotiate("application/json;q=0, */*", offered));
  EXPECT_FALSE(negotiate("image/png", offered));
}

TEST(Ranges, OneRange) {
  ByteRange part;
  EXPECT_EQ(RangeVerdict::kPart, parse_range("bytes=0-99", 1000, part));
  EXPECT_EQ("bytes 0-99/1000", part.content_range(1000));
  EXPECT_EQ(RangeVerdict::kPart, parse_range("bytes=990-2000", 1000, part));
  EXPECT_EQ(10u, part.size());
  EXPECT_EQ(RangeVerdict::kPart, parse_range("bytes=-5", 1000, part));
  EXPECT_EQ(995u, part.first);
  EXPECT_EQ(RangeVerdict::kPart, parse_range("bytes=5-", 1000, part));
  EXPECT_EQ(RangeVerdict::kUnsatisfiable, parse_range("bytes=1000-", 1000, part));
  EXPECT_EQ(RangeVerdict::kUnsatisfiable, parse_range("bytes=-0", 1000, part));
  for (const char* text : {"", "bytes=", "bytes=5-4", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "bytes=-"})
    EXPECT_EQ(RangeVerdict::kWhole, parse_range(text, 1000, part)) << text;
  EXPECT_EQ(5u, parse_content_range("bytes 5-9/*")->first);
  EXPECT_EQ(9u, parse_content_range("5-9")->last);
  EXPECT_FALSE(parse_content_range("9-5"));
}

TEST(Conditional, TagsAndDates) {
  EXPECT_TRUE(etag_listed("\"a\", W/\"b\"", "\"b\""));
  EXPECT_TRUE(etag_listed("*", "\"x\""));
  EXPECT_FALSE(etag_listed("\"a\"", "\"x\""));
  EXPECT_EQ("Sun, 06 Nov 1994 08:49:37 GMT", format_http_date(784111777));
  EXPECT_EQ(784111777, *parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"));
  EXPECT_FALSE(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"));
}

}  // namespace

}  // namespace proa::net
