"""Training of the scenes model: a student of Stable Diffusion's latents, and a denoiser of composed scenes."""
