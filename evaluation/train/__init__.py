"""Training of the small Stable-Diffusion-shaped clothing model, from photographs to the diffusers layout."""
