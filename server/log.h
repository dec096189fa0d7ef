// The server's log: one event a line, a message and named facts. Never image bytes.
//
//   log.Info("job finished", {{"job", job.name()}, {"seconds", 12.5}});
//   text: 2026-01-31T12:00:00.000Z info job finished job=5f.. seconds=12.5
//   json: {"time":"..","level":"info","message":"job finished","job":"5f..","seconds":12.5}
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"

namespace spdlog {
class logger;
namespace sinks {
class sink;
}
}  // namespace spdlog

namespace antidiffusion {

// A named fact. Text is escaped: callers' words cannot forge a line. Bytes that are no UTF-8 become
// U+FFFD.
struct LogField {
  LogField(std::string field_name, std::string text)
      : name(std::move(field_name)), value(std::move(text)) {}
  LogField(std::string field_name, const char* text)
      : name(std::move(field_name)), value(std::string(text)) {}
  LogField(std::string field_name, double number) : name(std::move(field_name)), value(number) {}
  LogField(std::string field_name, int64_t number) : name(std::move(field_name)), value(number) {}
  LogField(std::string field_name, int number)
      : name(std::move(field_name)), value(int64_t{number}) {}
  // Without a text the line has no such fact.
  LogField(std::string field_name, std::optional<std::string> text)
      : name(std::move(field_name)), value(text.has_value() ? Value(*std::move(text)) : Value()) {}

  using Value = std::variant<std::monostate, std::string, double, int64_t>;
  std::string name;
  Value value;
};
using LogFields = std::initializer_list<LogField>;

enum class LogFormat { kText, kJson };

// Thread-safe.
class Log {
 public:
  // `level`: debug, info, warning, error, off. INVALID_ARGUMENT: another word. Lines go to
  // standard error, or to `sink` when it is given.
  static absl::StatusOr<std::unique_ptr<Log>> Create(
      LogFormat format, const std::string& level,
      std::shared_ptr<spdlog::sinks::sink> sink = nullptr);
  ~Log();

  void Debug(const std::string& message, LogFields fields = {}) const;
  void Info(const std::string& message, LogFields fields = {}) const;
  void Warning(const std::string& message, LogFields fields = {}) const;
  void Error(const std::string& message, LogFields fields = {}) const;

 private:
  Log(LogFormat format, std::shared_ptr<spdlog::logger> logger);
  std::string Line(const std::string& message, LogFields fields) const;

  const LogFormat format_;
  const std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace antidiffusion
