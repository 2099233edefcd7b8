#include "net/url.h"

#include <gtest/gtest.h>

#include "net/proxy.h"
#include "net/socket.h"

namespace proa::net {

namespace {

std::string why(std::string_view text) {
  const auto url = Url::parse(text);
  return url ? url->text() : url.error().message();
}

TEST(Url, Parts) {
  const Url url = *Url::parse("HTTPS://us%40er:p%3Aw@Registry.Example:5000/v2/a%2Fb?n=1&last=x#frag");
  EXPECT_EQ("https", url.scheme);
  EXPECT_EQ("us@er", url.user);
  EXPECT_EQ("p:w", url.password);
  EXPECT_EQ("registry.example", url.host);
  EXPECT_EQ(5000, url.port);
  EXPECT_EQ("/v2/a%2Fb", url.path);
  EXPECT_EQ("n=1&last=x", url.query);
  EXPECT_EQ("https://registry.example:5000", url.origin());
  EXPECT_EQ("https://us%40er@registry.example:5000/v2/a%2Fb?n=1&last=x", url.text());
}

TEST(Url, DefaultsAndIpv6) {
  EXPECT_EQ("/", Url::parse("http://a")->path);
  EXPECT_EQ("/?q", Url::parse("http://a?q")->target());
  EXPECT_EQ(443, Url::parse("https://a")->port);
  EXPECT_EQ("http://[::1]:8080/", why("http://[::1]:8080"));
  EXPECT_EQ("::1", Url::parse("http://[::1]:8080")->host);
  EXPECT_EQ("/run/x.sock", Url::parse("unix:///run/x.sock")->path);
}

TEST(Url, WhatIsRefused) {
  EXPECT_EQ("URL: holds a space or control character", why("http://a/b c"));
  EXPECT_EQ("URL: holds a space or control character", why("http://a/\r\n"));
  EXPECT_EQ("URL a/b: does not begin with a scheme such as https://", why("a/b"));
  for (const char* text : {"http://", "http://:80/", "http://a:b/", "http://a:0/", "http://a:65536/", "http://[::1/",
                           "http://[x]/", "http://a b", "http://%41/", "http://u%zz@a/", "unix://x"})
    EXPECT_FALSE(Url::parse(text)) << text;
}

TEST(Url, Resolve) {
  const Url base = *Url::parse("https://h:1/a/b/c?q");
  const auto to = [&](std::string_view reference) { return base.resolve(reference)->text(); };
  EXPECT_EQ("https://h:1/x", to("/x"));
  EXPECT_EQ("https://h:1/a/b/x?y", to("x?y"));
  EXPECT_EQ("https://h:1/a/x", to("../x"));
  EXPECT_EQ("https://h:1/", to("../../../.."));
  EXPECT_EQ("https://other/z", to("//other/z"));
  EXPECT_EQ("http://o/", to("http://o"));
  EXPECT_EQ("https://h:1/a/b/c?z", to("?z"));
}

TEST(Query, EncodesAndDecodes) {
  const Query query("a=1+2&b=%C3%A4&c&a=%zz&=x");
  EXPECT_EQ("1 2", query.get("a"));
  EXPECT_EQ("\xc3\xa4", query.get("b"));
  EXPECT_TRUE(query.contains("c"));
  EXPECT_EQ((std::vector<std::string_view>{"1 2", "%zz"}), query.all("a"));
  Query made;
  made.add("scope", "repository:a/b:pull,push");
  EXPECT_EQ("scope=repository%3Aa%2Fb%3Apull%2Cpush", made.text());
}

TEST(Percent, Decode) {
  EXPECT_EQ("a b", *percent_decode("a%20b"));
  EXPECT_FALSE(percent_decode("%2"));
  EXPECT_FALSE(percent_decode("%g0"));
  EXPECT_EQ("a/b%20", percent_encode("a/b ", "/"));
}

TEST(Proxy, NoProxy) {
  const std::string list = "localhost, .corp.example,other.example:8080, 10.0.0.0/8,192.0.2.7, [2001:db8::1], fd00::/8";
  EXPECT_TRUE(excepted(list, "a.corp.example", 443));
  EXPECT_FALSE(excepted(list, "corp.example", 443));
  EXPECT_FALSE(excepted(list, "notcorp.example", 443));
  EXPECT_TRUE(excepted(list, "other.example", 8080));
  EXPECT_TRUE(excepted(list, "sub.other.example", 8080));
  EXPECT_FALSE(excepted(list, "other.example", 443));
  EXPECT_TRUE(excepted(list, "10.9.8.7", 443));
  EXPECT_FALSE(excepted(list, "11.9.8.7", 443));
  EXPECT_TRUE(excepted(list, "192.0.2.7", 443));
  EXPECT_TRUE(excepted(list, "2001:db8::1", 443));
  EXPECT_TRUE(excepted(list, "fd12::5", 443));
  EXPECT_TRUE(excepted("*", "anything", 1));
}

TEST(Proxy, ByScheme) {
  const ProxySettings settings{.http = "http://plain:3128", .https = "secure.example:3128", .none = "inside.example"};
  EXPECT_EQ("plain", (*proxy_for(*Url::parse("http://a.example/"), settings))->host);
  EXPECT_EQ("secure.example", (*proxy_for(*Url::parse("https://a.example/"), settings))->host);
  EXPECT_FALSE(*proxy_for(*Url::parse("https://inside.example/"), settings));
  EXPECT_FALSE(*proxy_for(*Url::parse("https://127.0.0.5/"), settings));
  EXPECT_FALSE(proxy_for(*Url::parse("http://a.example/"), {.http = "socks5://x:1"}));
}

TEST(Endpoint, Parse) {
  EXPECT_EQ("unix:///run/x.sock", Endpoint::parse("unix:///run/x.sock")->text());
  EXPECT_EQ("*:5000", Endpoint::parse(":5000")->text());
  EXPECT_EQ("[::1]:80", Endpoint::parse("tcp://[::1]:80")->text());
  for (const char* text : {"", "a", "a:b", "unix://x", "a:b:80", "::1:80"}) EXPECT_FALSE(Endpoint::parse(text)) << text;
}

}  // namespace

}  // namespace proa::net
