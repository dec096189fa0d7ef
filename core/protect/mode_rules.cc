#include "core/protect/mode_rules.h"

namespace antidiffusion {

ModeRules RulesOf(Mode mode) {
  if (mode == Mode::kPaper) return {};
  return {.centre_on_original = false,
          .stale_gradients = true,
          .clip_norm = 0,
          .all_heads = false,
          .clamped_semantic_loss = true,
          .prompt_target_is_noise = true,
          .last_prompt_tuning = true};
}

}  // namespace antidiffusion
