#!/usr/bin/env python3
"""Writes the image files of this folder: what other programs' encoders produce.

Needs Pillow. Run here; every file has the 72x64 picture of `sample` unless its name says otherwise.
"""
import io
import struct
import zlib

from PIL import Image, ImageCms

W, H = 72, 64


def sample(x, y, c):
    """The same formula stands in fixtures.h."""
    return (x * (3 + c) + y * (2 + 2 * c) + 40 * c) % 256


def picture(mode):
    channels = len(mode)
    image = Image.new(mode, (W, H))
    for y in range(H):
        for x in range(W):
            value = tuple(sample(x, y, c) for c in range(channels))
            image.putpixel((x, y), value if channels > 1 else value[0])
    return image


def smooth(mode):
    """Low frequencies only: survives JPEG within a few levels."""
    channels = 1 if mode == "L" else len(mode)
    image = Image.new(mode, (W, H))
    for y in range(H):
        for x in range(W):
            value = tuple(x + y + 30 * c for c in range(channels))
            image.putpixel((x, y), value if channels > 1 else value[0])
    return image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(color_type, depth, rows, extra=b"", interlaced=0):
    ihdr = struct.pack(">IIBBBBB", W, H, depth, color_type, 0, 0, interlaced)
    idat = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + extra + chunk(b"IDAT", idat)
            + chunk(b"IEND", b""))


def write(name, data):
    with open(name, "wb") as file:
        file.write(data)


def adam7_rows(rows, size):
    """The rows of the seven smaller images of an interlaced PNG; a pixel has `size` bytes."""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                           (1, 0, 2, 2), (0, 1, 1, 2)):
        for row in rows[y0::dy]:
            yield b"".join(row[x * size:(x + 1) * size] for x in range(x0, W, dx))


def packed_gray(depth):
    """Stored sample: sample(x, y, 0) >> (8 - depth)."""
    rows = []
    for y in range(H):
        bits = 0
        for x in range(W):
            bits = (bits << depth) | (sample(x, y, 0) >> (8 - depth))
        rows.append(bits.to_bytes(W * depth // 8, "big"))
    return rows


icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
write("srgb.icc", icc)

exif = Image.Exif()
exif[0x0112] = 6  # Orientation
exif[0x010F] = "Maker"
exif[0x8769] = {0xA002: W, 0xA003: H, 0x9003: "2024:05:06 07:08:09"}

# --- PNG ---
picture("RGB").save("rgb.png", icc_profile=icc, exif=exif)
picture("RGBA").save("rgba.png")
picture("L").save("gray.png")
picture("LA").save("gray_alpha.png")
for depth in (1, 2, 4):
    write(f"gray{depth}.png", png(0, depth, packed_gray(depth)))
write("gray2_transparent.png", png(0, 2, packed_gray(2), chunk(b"tRNS", b"\0\2")))
palette = b"".join(bytes((i, 255 - i, (7 * i) % 256)) for i in range(256))
indices = [bytes(sample(x, y, 0) for x in range(W)) for y in range(H)]
write("palette.png", png(3, 8, indices, chunk(b"PLTE", palette)))
write("palette_transparent.png",
      png(3, 8, indices, chunk(b"PLTE", palette) + chunk(b"tRNS", bytes(range(0, 200)))))
rgb_rows = [bytes(sample(x, y, c) for x in range(W) for c in range(3)) for y in range(H)]
write("rgb_transparent.png",
      png(2, 8, rgb_rows, chunk(b"tRNS", struct.pack(">HHH", *(sample(5, 7, c) for c in range(3))))))
write("interlaced.png", png(2, 8, adam7_rows(rgb_rows, 3), interlaced=1))
write("rgb16.png", png(2, 16, [bytes(2 * len(rgb_rows[0]))] * H))
frames = [picture("RGB"), picture("RGB").rotate(180)]
frames[0].save("animated.png", save_all=True, append_images=frames[1:])

# --- JPEG ---
smooth("RGB").save("rgb.jpg", quality=95, icc_profile=icc, exif=exif)
smooth("RGB").save("progressive.jpg", quality=95, progressive=True)
smooth("L").save("gray.jpg", quality=95)
smooth("CMYK").save("cmyk.jpg", quality=90)

# --- WebP ---
picture("RGB").save("lossless.webp", lossless=True, icc_profile=icc, exif=exif)
picture("RGBA").save("lossless_alpha.webp", lossless=True, exact=True)
smooth("RGB").save("lossy.webp", quality=95)
smooth("RGBA").save("lossy_alpha.webp", quality=95, exact=True)
frames[0].save("animated.webp", save_all=True, append_images=frames[1:], lossless=True)
