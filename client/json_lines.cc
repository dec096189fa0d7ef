#include "client/json_lines.h"

#include <nlohmann/json.hpp>

#include "client/message_text.h"

namespace antidiffusion {
namespace {

using Json = nlohmann::ordered_json;

Json StageSeconds(const v1::ProtectionResult& result) {
  Json seconds = Json::object();
  for (const auto& [stage, value] : result.stage_seconds()) seconds[stage] = value;
  return seconds;
}

}  // namespace

std::string JsonLine(const FileOutcome& outcome) {
  Json line;
  line["input"] = outcome.input;
  line["output"] = outcome.output.has_value() ? Json(*outcome.output) : Json();
  line["status"] = absl::StatusCodeToString(outcome.status.code());
  line["message"] = outcome.status.ok() ? outcome.note : std::string(outcome.status.message());
  line["report"] = outcome.result.has_value() ? MessageJson(outcome.result->report()) : Json();
  line["seconds"] = outcome.seconds;
  line["stage_seconds"] = outcome.result.has_value() ? StageSeconds(*outcome.result) : Json();
  line["unet_passes"] = outcome.result.has_value() ? Json(outcome.result->unet_passes()) : Json();
  line["seed"] = outcome.result.has_value() ? Json(outcome.result->seed()) : Json();
  line["model"] = outcome.result.has_value() ? Json(outcome.result->model()) : Json();
  line["model_digest"] = outcome.result.has_value() ? Json(outcome.result->model_digest()) : Json();
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace antidiffusion
