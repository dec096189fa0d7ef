#include "server/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_details.h"
#include "core/base/utf8.h"

namespace antidiffusion {
namespace {

// The inside of a JSON string; also keeps a text line one line.
std::string Escaped(const std::string& given) {
  const std::string text = ToValidUtf8(given);
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += absl::StrFormat("\\u%04x", static_cast<int>(c));
    } else {
      result += c;
    }
  }
  return result;
}

std::string Number(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.6g", value) : "null";
}

std::string JsonValue(const LogField& field) {
  if (const auto* text = std::get_if<std::string>(&field.value)) {
    return absl::StrCat("\"", Escaped(*text), "\"");
  }
  if (const auto* number = std::get_if<double>(&field.value)) return Number(*number);
  return absl::StrCat(std::get<int64_t>(field.value));
}

std::string TextValue(const LogField& field) {
  const auto* text = std::get_if<std::string>(&field.value);
  const bool plain = text != nullptr && !text->empty() &&
                     text->find_first_of(" =\"\\") == std::string::npos && Escaped(*text) == *text;
  return plain ? *text : JsonValue(field);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Log>> Log::Create(LogFormat format, const std::string& level,
                                                 std::shared_ptr<spdlog::sinks::sink> sink) {
  const spdlog::level::level_enum parsed = spdlog::level::from_str(level);
  if (parsed == spdlog::level::off && level != "off") {
    return InvalidField("log-level", level, "debug, info, warning, error, off");
  }
  if (sink == nullptr) sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("antidiffusion", std::move(sink));
  logger->set_level(parsed);
  logger->flush_on(spdlog::level::debug);
  const char* pattern = format == LogFormat::kJson
                            ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                            : "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
  logger->set_pattern(pattern, spdlog::pattern_time_type::utc);
  return std::unique_ptr<Log>(new Log(format, std::move(logger)));
}

Log::Log(LogFormat format, std::shared_ptr<spdlog::logger> logger)
    : format_(format), logger_(std::move(logger)) {}

Log::~Log() = default;

std::string Log::Line(const std::string& message, LogFields fields) const {
  const bool json = format_ == LogFormat::kJson;
  std::string line =
      json ? absl::StrCat("\"message\":\"", Escaped(message), "\"") : Escaped(message);
  for (const LogField& field : fields) {
    if (std::holds_alternative<std::monostate>(field.value)) continue;
    if (json) {
      absl::StrAppend(&line, ",\"", field.name, "\":", JsonValue(field));
    } else {
      absl::StrAppend(&line, " ", field.name, "=", TextValue(field));
    }
  }
  return line;
}

void Log::Debug(const std::string& message, LogFields fields) const {
  if (logger_->should_log(spdlog::level::debug)) logger_->debug("{}", Line(message, fields));
}
void Log::Info(const std::string& message, LogFields fields) const {
  if (logger_->should_log(spdlog::level::info)) logger_->info("{}", Line(message, fields));
}
void Log::Warning(const std::string& message, LogFields fields) const {
  logger_->warn("{}", Line(message, fields));
}
void Log::Error(const std::string& message, LogFields fields) const {
  logger_->error("{}", Line(message, fields));
}

}  // namespace antidiffusion
