#!/usr/bin/env python3
"""Prints the reference values of similarity_test.cc, computed by scikit-image."""
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity


def pair(width, height, channels):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    a = (x * (3 + c) + y * (2 + 2 * c) + 40 * c) % 256
    b = np.clip(a + (x * 7 + y * 13 + c * 5) % 23 - 11, 0, 255)
    return a.astype(np.uint8), b.astype(np.uint8)


for width, height, channels in ((72, 64, 3), (72, 64, 1), (201, 12, 3), (11, 11, 1)):
    a, b = pair(width, height, channels)
    ssim = structural_similarity(a, b, gaussian_weights=True, sigma=1.5,
                                 use_sample_covariance=False, data_range=255, channel_axis=2)
    psnr = peak_signal_noise_ratio(a, b, data_range=255)
    print(f"{{{width}, {height}, {channels}, {psnr:.12f}, {ssim:.12f}}},")
