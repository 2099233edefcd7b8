#include "vmm/mmds/http.h"

#include <charconv>
#include <span>

#include "net/http1.h"

namespace proa::vmm {

namespace {

constexpr std::string_view kTokenPath = "/latest/api/token";
constexpr std::string_view kTokenNames[] = {"X-metadata-token", "X-aws-ec2-metadata-token"};
constexpr std::string_view kLifetimeNames[] = {"X-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token-ttl-seconds"};

struct Answer {
  int status = 200;
  std::string body;
  std::string_view type = "text/plain";
  std::string fields = {};  // more of them, each with its CR LF
};

// The first of the names that is there; its place, or -1.
int find_any(const net::Headers& headers, std::span<const std::string_view> names) {
  for (size_t i = 0; i < names.size(); ++i)
    if (headers.contains(names[i])) return static_cast<int>(i);
  return -1;
}

std::string path_of(std::string_view target) {
  if (target.starts_with("http://")) {
    const size_t slash = target.find('/', 7);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return std::string(target.substr(0, target.find_first_of("?#")));
}

Answer not_found(std::string_view path) { return {404, cat("Resource not found: ", path, ".")}; }

Answer get(const Metadata& data, const std::string& path, const net::Headers& headers, MetadataCounts& counts) {
  const int token = find_any(headers, kTokenNames);
  const bool valid = token >= 0 && data.valid_token(headers.get(kTokenNames[token]));
  if (token < 0) ++counts.no_token;
  if (token >= 0 && !valid) ++counts.invalid_token;
  if (data.version() == Metadata::Version::kV2 && token < 0)
    return {401,
            "No MMDS token provided. Use `X-metadata-token` or `X-aws-ec2-metadata-token` header to specify the "
            "session token."};
  if (data.version() == Metadata::Version::kV2 && !valid) return {401, "MMDS token not valid."};
  const bool json = headers.has_token("Accept", "application/json");
  auto found = data.at(path, json ? Metadata::Format::kJson : Metadata::Format::kImds);
  if (found) return {200, std::move(*found), json ? "application/json" : "text/plain"};
  if (found.error() == Metadata::Missing::kNotFound) return not_found(path);
  return {501, "Cannot retrieve value. The value has an unsupported type."};
}

Answer put(Metadata& data, const std::string& path, const net::Headers& headers) {
  // A proxy in the guest is to lead nobody from outside here.
  if (headers.contains("X-Forwarded-For"))
    return {400, "Invalid header. Reason: Unsupported name. Key: X-Forwarded-For"};
  std::string plain;
  for (const char c : path)
    if (c != '/' || !plain.ends_with('/')) plain += c;
  if (plain != kTokenPath) return not_found(path);
  const int name = find_any(headers, kLifetimeNames);
  if (name < 0)
    return {400,
            "Token time to live value not found. Use `X-metadata-token-ttl-seconds` or "
            "`X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's lifetime."};
  const std::string_view text = headers.get(kLifetimeNames[name]);
  uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return {400, cat("Invalid header. Reason: Invalid value. Key:", kLifetimeNames[name], "; Value:", text)};
  auto token = data.make_token(seconds);
  if (!token) return {400, token.error().message()};
  return {200, std::move(*token), "text/plain", cat(kLifetimeNames[name], ": ", seconds, "\r\n")};
}

Answer answer(Metadata& data, const net::Http1Request& request, const net::Headers& headers, MetadataCounts& counts) {
  const std::string path = path_of(request.target);
  if (!path.starts_with('/')) return {400, "Invalid URI."};
  if (request.method == "GET") return get(data, path, headers, counts);
  if (request.method == "PUT") return put(data, path, headers);
  return {405, "Not allowed HTTP method.", "text/plain", "Allow: GET, PUT\r\n"};
}

std::string text_of(const Answer& answer, bool with_body, bool last) {
  return cat("HTTP/1.1 ", answer.status, " ", net::reason_phrase(answer.status),
             "\r\nServer: Proa MMDS\r\nConnection: ", last ? "close" : "keep-alive", "\r\nContent-Type: ", answer.type,
             "\r\nContent-Length: ", answer.body.size(), "\r\n", answer.fields, "\r\n",
             with_body ? std::string_view(answer.body) : "");
}

std::string refuse(std::string& input, bool& last, int status, std::string_view why) {
  input.clear();
  last = true;
  return text_of({status, std::string(why)}, true, last);
}

}  // namespace

std::string answer_metadata(Metadata& data, std::string& input, bool& last, MetadataCounts& counts) {
  const size_t head = net::Http1Parser::head_size(input, 0);
  if (head == 0 && input.size() <= kMostRequest) return {};
  if (head == 0 || head > kMostRequest) return refuse(input, last, 431, "The request's head is too large.");
  net::Headers headers;
  const auto request = net::Http1Parser::request(std::string_view(input).substr(0, head), headers);
  if (!request) return refuse(input, last, 400, cat("Invalid request: ", request.error().message(), "."));
  const auto framing = net::request_framing(*request, headers);
  if (!framing || framing->kind != net::Framing::kLength) return refuse(input, last, 400, "Invalid request.");
  // Bodies say nothing to the service; small ones are read over.
  if (framing->length > kMostRequest - head) return refuse(input, last, 413, "The request is too large.");
  if (input.size() < head + framing->length) return {};
  last = request->version < 11 || headers.has_token("Connection", "close");
  std::string text = text_of(answer(data, *request, headers, counts), request->method != "HEAD", last);
  input.erase(0, head + framing->length);
  return text;
}

}  // namespace proa::vmm
