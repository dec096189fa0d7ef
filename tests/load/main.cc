#include <iostream>
#include <variant>

#include "client/exit_codes.h"
#include "tests/load/load_run.h"
#include "tests/load/settings.h"

int main(int argc, char** argv) {
  using antidiffusion::LoadSettings;
  const auto parsed = antidiffusion::ParseLoadCommandLine(argc, argv, std::cout, std::cerr);
  if (const int* code = std::get_if<int>(&parsed)) return *code;
  const LoadSettings& settings = std::get<LoadSettings>(parsed);
  const absl::StatusOr<antidiffusion::Report> report = antidiffusion::RunLoad(settings, std::cerr);
  if (!report.ok()) {
    std::cerr << report.status().message() << std::endl;
    return antidiffusion::kExitFailed;
  }
  if (settings.json) {
    report->WriteJson(std::cout);
  } else {
    report->Write(std::cout);
  }
  return report->Violations().empty() ? antidiffusion::kExitOk : antidiffusion::kExitFailed;
}
