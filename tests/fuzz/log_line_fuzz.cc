// A caller's words in the log: one line, whatever they are, that a program can read.
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "server/log.h"
#include "tests/fuzz/fuzz.h"

namespace antidiffusion {
namespace {

std::string Logged(LogFormat format, const std::string& text) {
  std::ostringstream lines;
  auto log = Log::Create(format, "info", std::make_shared<spdlog::sinks::ostream_sink_mt>(lines));
  Require(log.ok(), "no log");
  (*log)->Info(text, {{"text", text}, {"last", 1}});
  return lines.str();
}

void Check(const std::string& text) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = Logged(format, text);
    Require(std::count(line.begin(), line.end(), '\n') == 1 && line.back() == '\n', "not one line");
    if (format == LogFormat::kText) continue;
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    Require(parsed.is_object() && parsed.size() == 5, "a line that is no JSON, or forged");
    Require(parsed["level"] == "info" && parsed["last"] == 1, "a fact is another");
    Require(parsed["text"] == parsed["message"], "equal texts differ");
  }
}

}  // namespace
}  // namespace antidiffusion

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  antidiffusion::Check(std::string(antidiffusion::AsText(data, size)));
  return 0;
}
