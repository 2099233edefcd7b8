#include "kube/types/codec.h"

#include "kube/object/json.h"
#include "net/base64.h"

namespace proa::kube {

void Codec<std::string>::read(const Value& in, std::string& out) { out = in.as_string(); }
Value Codec<std::string>::write(Arena& arena, const std::string& in) { return Value::text(arena, in); }
bool Codec<std::string>::zero(const std::string& in) { return in.empty(); }

void Codec<int32_t>::read(const Value& in, int32_t& out) { out = static_cast<int32_t>(in.as_int()); }
Value Codec<int32_t>::write(Arena&, const int32_t& in) { return Value::integer(in); }
bool Codec<int32_t>::zero(const int32_t& in) { return in == 0; }

void Codec<int64_t>::read(const Value& in, int64_t& out) { out = in.as_int(); }
Value Codec<int64_t>::write(Arena&, const int64_t& in) { return Value::integer(in); }
bool Codec<int64_t>::zero(const int64_t& in) { return in == 0; }

void Codec<double>::read(const Value& in, double& out) { out = in.as_double(); }
Value Codec<double>::write(Arena&, const double& in) { return Value::real(in); }
bool Codec<double>::zero(const double& in) { return in == 0; }

void Codec<bool>::read(const Value& in, bool& out) { out = in.as_bool(); }
Value Codec<bool>::write(Arena&, const bool& in) { return Value::boolean(in); }
bool Codec<bool>::zero(const bool& in) { return !in; }

void Codec<Bytes>::read(const Value& in, Bytes& out) {
  static_cast<std::string&>(out) = net::base64_decode(in.as_string()).value_or("");
}
Value Codec<Bytes>::write(Arena& arena, const Bytes& in) { return Value::text(arena, net::base64_encode(in)); }
bool Codec<Bytes>::zero(const Bytes& in) { return in.empty(); }

void Codec<RawJson>::read(const Value& in, RawJson& out) { static_cast<std::string&>(out) = write_json(in); }
Value Codec<RawJson>::write(Arena& arena, const RawJson& in) { return read_json(arena, in).value_or(Value()); }
bool Codec<RawJson>::zero(const RawJson& in) { return in.empty(); }

void Codec<Instant>::read(const Value& in, Instant& out) { out = parse_time(in.as_string()).value_or(Instant{}); }
Value Codec<Instant>::write(Arena& arena, const Instant& in) {
  return zero(in) ? Value() : Value::text(arena, format_time(in.seconds));
}
bool Codec<Instant>::zero(const Instant& in) { return in == Instant{}; }

void Codec<MicroTime>::read(const Value& in, MicroTime& out) {
  static_cast<Instant&>(out) = parse_time(in.as_string()).value_or(Instant{});
}
Value Codec<MicroTime>::write(Arena& arena, const MicroTime& in) {
  return zero(in) ? Value() : Value::text(arena, format_micro_time(in));
}
bool Codec<MicroTime>::zero(const MicroTime& in) { return static_cast<const Instant&>(in) == Instant{}; }

void Codec<Nanoseconds>::read(const Value& in, Nanoseconds& out) {
  out.value = parse_duration(in.as_string()).value_or(0);
}
Value Codec<Nanoseconds>::write(Arena& arena, const Nanoseconds& in) {
  return Value::text(arena, format_duration(in.value));
}
bool Codec<Nanoseconds>::zero(const Nanoseconds& in) { return in.value == 0; }

void Codec<Quantity>::read(const Value& in, Quantity& out) {
  out = Quantity::parse(in.as_string()).value_or(Quantity());
}
Value Codec<Quantity>::write(Arena& arena, const Quantity& in) { return Value::text(arena, in.text()); }
bool Codec<Quantity>::zero(const Quantity& in) { return in.is_zero(); }

void Codec<IntOrString>::read(const Value& in, IntOrString& out) {
  if (in.is_string())
    out = std::string(in.as_string());
  else
    out = static_cast<int32_t>(in.as_int());
}
Value Codec<IntOrString>::write(Arena& arena, const IntOrString& in) {
  if (const auto* text = std::get_if<std::string>(&in)) return Value::text(arena, *text);
  return Value::integer(std::get<int32_t>(in));
}
bool Codec<IntOrString>::zero(const IntOrString&) { return false; }

}  // namespace proa::kube
