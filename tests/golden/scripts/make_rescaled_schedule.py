"""Write rescaled_schedule.safetensors: alphas_cumprod [1000] float32 of diffusers' DDPMScheduler with
`rescale_betas_zero_snr`, keys linear and scaled_linear (betas from 0.00085 to 0.012).

    python make_rescaled_schedule.py          (needs torch, diffusers 0.35.2, safetensors)
"""
import os

from diffusers import DDPMScheduler
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "rescaled_schedule.safetensors")

save_file({kind: DDPMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule=kind,
                               rescale_betas_zero_snr=True).alphas_cumprod
           for kind in ("linear", "scaled_linear")}, OUT)
