#include "client/query_commands.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/call_error.h"
#include "client/exit_codes.h"
#include "client/message_text.h"
#include "client/table.h"
#include "client/terminal_text.h"

namespace antidiffusion {
namespace {

int Fail(const absl::Status& status, std::ostream& err) {
  err << absl::StatusCodeToString(status.code()) << ": " << PrintableText(status.message())
      << std::endl;
  return ExitCodeOf(status);
}

// What `--objective` may be given for the model; "" before it is loaded.
std::string AbilitiesOf(const v1::Model& model) {
  if (!model.has_capabilities()) return "";
  const v1::Capabilities& can = model.capabilities();
  std::string text = can.denoises() ? "denoising,score-distillation," : "";
  if (can.semantic_layers()) text += "semantic,";
  if (can.guides_by_image()) text += "image-guidance,";
  return text + "away,norm,target";
}

// "" for 0.
std::string Quantity(int number, absl::string_view unit) {
  return number == 0 ? "" : absl::StrCat(number, unit);
}

std::vector<std::string> ToTableRow(const v1::Model& model, bool is_default) {
  return {absl::StrCat(is_default ? "* " : "  ", model.name()),
          v1::Model::State_Name(model.state()),
          model.family(),
          model.prediction_type(),
          Quantity(model.native_side(), " px"),
          Quantity(model.capabilities().latent_channels(), ""),
          AbilitiesOf(model),
          absl::StrJoin(model.devices(), ","),
          model.precision(),
          model.digest().empty() ? model.message() : model.digest().substr(0, 12)};
}

void WriteModels(const v1::ListModelsResponse& response, std::ostream& out) {
  std::vector<std::vector<std::string>> rows = {{"  NAME", "STATE", "FAMILY", "PREDICTION",
                                                 "NATIVE", "LATENT", "OBJECTIVES", "DEVICES",
                                                 "PRECISION", "WEIGHTS"}};
  for (const v1::Model& model : response.models()) {
    rows.push_back(ToTableRow(model, model.name() == response.default_model()));
  }
  WriteTable(std::move(rows), out);
}

void WriteJson(const v1::ListModelsResponse& response, std::ostream& out) {
  for (const v1::Model& model : response.models()) {
    nlohmann::ordered_json object = MessageJson(model);
    if (object.is_null()) continue;
    object["default"] = model.name() == response.default_model();
    out << object.dump() << "\n";
  }
}

}  // namespace

int RunModels(const ProtectionClient& client, const CallOptions& call, bool json, std::ostream& out,
              std::ostream& err) {
  const absl::StatusOr<v1::ListModelsResponse> response = client.ListModels(call);
  if (!response.ok()) return Fail(response.status(), err);
  if (json) {
    WriteJson(*response, out);
  } else {
    WriteModels(*response, out);
  }
  out.flush();
  return kExitOk;
}

int RunHealth(const ProtectionClient& client, const CallOptions& call, std::ostream& out,
              std::ostream& err) {
  using grpc::health::v1::HealthCheckResponse;
  CallOptions once = call;
  once.retry = false;
  const auto status = client.CheckHealth(once);
  if (!status.ok()) return Fail(status.status(), err);
  out << HealthCheckResponse::ServingStatus_Name(*status) << std::endl;
  return *status == HealthCheckResponse::SERVING ? kExitOk : kExitFailed;
}

}  // namespace antidiffusion
