#include "net/http1.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/text.h"
#include "net/conditional.h"

namespace proa::net {

namespace {

constexpr size_t kMaxChunkLine = 1024;
constexpr size_t kMaxTrailers = 16 << 10;

std::unexpected<Error> bad(std::string_view what) { return std::unexpected(Error(std::string(what), EBADMSG)); }

// A line without its CR LF, off the front of `text`, which ends with one.
std::string_view take_line(std::string_view& text) {
  const size_t end = text.find("\r\n");
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return line;
}

Result<int> parse_version(std::string_view text) {
  if (text == "HTTP/1.1") return 11;
  if (text == "HTTP/1.0") return 10;
  if (text.starts_with("HTTP/") && text.size() == 8)
    return std::unexpected(Error("HTTP version is neither 1.0 nor 1.1", ENOTSUP));
  return bad("malformed HTTP version");
}

bool valid_target(std::string_view target) {
  return !target.empty() &&
         std::ranges::all_of(target, [](char c) { return static_cast<unsigned char>(c) > ' ' && c != 0x7f; });
}

struct Field {
  std::string_view name;
  std::string_view value;
};

Result<Field> parse_field(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bad("header line without a colon");
  const Field field{line.substr(0, colon), trimmed(line.substr(colon + 1))};
  if (!is_token(field.name) || field.name.size() > UINT16_MAX) return bad("malformed header name");
  if (!is_field_value(field.value)) return bad(cat("header ", field.name, ": holds a control character"));
  return field;
}

Result<Framing> coded_framing(const Headers& headers, int version) {
  if (headers.contains("Content-Length")) return bad("both Content-Length and Transfer-Encoding");
  if (version < 11) return bad("Transfer-Encoding in HTTP/1.0");
  const auto codings = headers.all("Transfer-Encoding");
  if (codings.size() == 1 && equals_ignoring_case(codings[0], "chunked")) return Framing{.kind = Framing::kChunked};
  return std::unexpected(Error("Transfer-Encoding: only chunked is known", ENOTSUP));
}

Result<Framing> length_framing(const Headers& headers) {
  const auto lengths = headers.all("Content-Length");
  if (lengths.size() > 1) return bad("more than one Content-Length");
  return Framing{.kind = Framing::kLength, .length = TRY(parse_content_length(lengths[0]))};
}

}  // namespace

size_t Http1Parser::head_size(std::string_view text, size_t seen) {
  const size_t end = text.find("\r\n\r\n", seen > 3 ? seen - 3 : 0);
  return end == std::string_view::npos ? 0 : end + 4;
}

Result<> Http1Parser::fields(std::string_view lines, Headers& headers) {
  // One copy of the whole block; entries point into it.
  const auto base = static_cast<uint32_t>(headers.text_.size());
  headers.text_.append(lines);
  for (std::string_view rest = lines; !rest.empty();) {
    const std::string_view line = take_line(rest);
    const Field field = TRY(parse_field(line));
    if (headers.entries_.size() >= kMaxFields) return std::unexpected(Error("too many header fields", EMSGSIZE));
    headers.entries_.push_back({.name = base + static_cast<uint32_t>(field.name.data() - lines.data()),
                                .value = base + static_cast<uint32_t>(field.value.data() - lines.data()),
                                .value_size = static_cast<uint32_t>(field.value.size()),
                                .name_size = static_cast<uint16_t>(field.name.size())});
  }
  return {};
}

Result<Http1Request> Http1Parser::request(std::string_view head, Headers& headers) {
  head.remove_suffix(2);
  std::string_view line = take_line(head);
  Http1Request request;
  request.method = cut(line, ' ');
  request.target = cut(line, ' ');
  if (!is_token(request.method)) return bad("malformed method");
  if (!valid_target(request.target)) return bad("malformed request target");
  request.version = TRY(parse_version(line));
  headers.entries_.reserve(12);
  TRY(fields(head, headers));
  const size_t hosts = headers.all("Host").size();
  if (hosts > 1) return bad("more than one Host");
  if (hosts == 0 && request.version == 11) return bad("no Host");
  return request;
}

Result<Http1Response> Http1Parser::response(std::string_view head, Headers& headers) {
  head.remove_suffix(2);
  std::string_view line = take_line(head);
  Http1Response response;
  response.version = TRY(parse_version(cut(line, ' ')));
  const auto status = parse_number<int>(line.substr(0, line.find(' ')));
  if (!status || *status < 100 || *status > 999) return bad("malformed status line");
  response.status = *status;
  TRY(fields(head, headers));
  return response;
}

Result<uint64_t> parse_content_length(std::string_view value) {
  const bool digits = !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
  const auto length = digits ? parse_number<uint64_t>(value) : std::nullopt;
  if (!length || *length > static_cast<uint64_t>(INT64_MAX)) return bad("malformed Content-Length");
  return *length;
}

Result<Framing> request_framing(const Http1Request& request, const Headers& headers) {
  if (headers.contains("Transfer-Encoding")) return coded_framing(headers, request.version);
  if (headers.contains("Content-Length")) return length_framing(headers);
  return Framing{};
}

Result<Framing> response_framing(const Http1Response& response, const Headers& headers, std::string_view method) {
  if (method == "HEAD" || !status_has_body(response.status)) return Framing{};
  if (method == "CONNECT" && response.status / 100 == 2) return Framing{};
  if (headers.contains("Transfer-Encoding")) return coded_framing(headers, response.version);
  if (headers.contains("Content-Length")) return length_framing(headers);
  return Framing{.kind = Framing::kUntilClose};
}

// --- chunks ---------------------------------------------------------------------------------------------------

// Whether line_ is complete, its CR LF taken off.
Result<bool> ChunkDecoder::take_line(std::string_view& input, size_t limit) {
  const size_t end = input.find('\n');
  line_.append(input.substr(0, end == std::string_view::npos ? end : end + 1));
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
  if (line_.size() > limit) return bad("chunked body: line too long");
  if (end == std::string_view::npos) return false;
  if (!line_.ends_with("\r\n")) return bad("chunked body: line without CR LF");
  line_.resize(line_.size() - 2);
  return true;
}

Result<ChunkDecoder::Step> ChunkDecoder::next(std::string_view& input, std::string_view& data) {
  for (;;) {
    if (state_ == State::kDone) return Step::kEnd;
    if (input.empty()) return Step::kMore;
    switch (state_) {
      case State::kSize: {
        if (!TRY(take_line(input, kMaxChunkLine))) return Step::kMore;
        const std::string_view size = trimmed(std::string_view(line_).substr(0, line_.find(';')));
        const auto [end, ec] = std::from_chars(size.data(), size.data() + size.size(), left_, 16);
        if (size.empty() || ec != std::errc() || end != size.data() + size.size() ||
            left_ > static_cast<uint64_t>(INT64_MAX) || !is_field_value(line_))
          return bad("chunked body: malformed chunk size");
        line_.clear();
        state_ = left_ ? State::kData : State::kTrailers;
        break;
      }
      case State::kData:
        data = input.substr(0, left_);
        input.remove_prefix(data.size());
        left_ -= data.size();
        if (left_ == 0) state_ = State::kDataEnd;
        return Step::kData;
      case State::kDataEnd:  // CR LF and nothing else
        if (!TRY(take_line(input, 2))) return Step::kMore;
        state_ = State::kSize;
        break;
      case State::kTrailers:
        if (!TRY(take_line(input, kMaxTrailers))) return Step::kMore;
        if (line_.empty()) {
          TRY(Http1Parser::fields(trailer_lines_, trailers_));
          state_ = State::kDone;
          break;
        }
        trailer_lines_.append(line_).append("\r\n");
        line_.clear();
        if (trailer_lines_.size() > kMaxTrailers) return bad("chunked body: trailers too long");
        break;
      case State::kDone: break;
    }
  }
}

// --- writing --------------------------------------------------------------------------------------------------

void append_fields(std::string& out, const Headers& headers) {
  for (const auto field : headers) out.append(field.name).append(": ").append(field.value).append("\r\n");
}

void append_chunk_size(std::string& out, size_t size) {
  char digits[16];
  const auto [end, ec] = std::to_chars(digits, digits + sizeof digits, size, 16);
  out.append(digits, end).append("\r\n");
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return "";
  }
}

bool status_has_body(int status) { return status >= 200 && status != 204 && status != 304; }

std::string_view http_date() {
  thread_local time_t made = 0;
  thread_local char text[29];
  if (const time_t now = ::time(nullptr); now != made) {
    format_http_date(now).copy(text, sizeof text);
    made = now;
  }
  return {text, sizeof text};
}

}  // namespace proa::net
