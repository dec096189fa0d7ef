// Constants of CIELAB (CIE 15) for sRGB (IEC 61966-2-1) under D65. What converts with them:
// visibility.cc for bytes, core/protect/visibility_limit.cc for tensors.
#pragma once

namespace antidiffusion {

// Linear RGB in 0..1 -> X, Y, Z, each divided by the white point's; row by row.
inline constexpr double kWhiteXyzOfRgb[3][3] = {
    {0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456},
    {0.212671, 0.715160, 0.072169},
    {0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754}};

// Above this, f(t) is t^(1/3), else kLabSlope * t + 16/116.
inline constexpr double kLabLinearEnd = 0.008856;
inline constexpr double kLabSlope = 7.787;

// sRGB below this is linear.
inline constexpr double kSrgbLinearEnd = 0.04045;

}  // namespace antidiffusion
