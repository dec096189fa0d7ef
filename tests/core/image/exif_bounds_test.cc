// What an EXIF block may cost, and its orientation when the block is dropped.
#include <gtest/gtest.h>

#include <string>

#include "core/image/metadata.h"
#include "tests/core/image/fixtures.h"

namespace antidiffusion {
namespace {

constexpr size_t kBlock = 65'000;

// A block of kBlock bytes of which `entries` in each of `directories`, chained one to the next, all
// ask for the same `bytes`.
std::string SharedBytes(int directories, int entries, uint32_t bytes, bool little) {
  const auto append = [little](std::string& out, uint32_t value, size_t count) {
    little ? AppendLittleEndian(out, value, count) : AppendBigEndian(out, value, count);
  };
  std::string block = little ? "II" : "MM";
  append(block, 42, 2);
  append(block, 8, 4);
  for (int directory = 0; directory < directories; ++directory) {
    append(block, static_cast<uint32_t>(entries + 1), 2);
    append(block, 0x0112, 2);  // orientation 8
    append(block, 3, 2);
    append(block, 1, 4);
    append(block, 8, 2);
    append(block, 0, 2);
    for (int i = 0; i < entries; ++i) {
      append(block, 0xc000 + static_cast<uint32_t>(i), 2);
      append(block, 7, 2);
      append(block, bytes, 4);
      append(block, 32, 4);
    }
    const bool last = directory + 1 == directories;
    append(block, last ? 0 : static_cast<uint32_t>(block.size() + 4), 4);
  }
  block.resize(kBlock, '\xff');
  return block;
}

TEST(ExifValueBytesTest, CountsEveryEntryInEitherByteOrder) {
  for (const bool little : {true, false}) {
    EXPECT_GE(ExifValueBytes(SharedBytes(4, 250, 60'000, little)), size_t{4} * 250 * 60'000);
  }
}

TEST(ExifValueBytesTest, WhatTheBlockCannotHoldIsNotRead) {
  EXPECT_LT(ExifValueBytes(SharedBytes(4, 250, kBlock + 1, true)), size_t{16} << 20);
}

TEST(ExifValueBytesTest, APhotographsBlockIsFarFromTheLimit) {
  EXPECT_LT(ExifValueBytes(ExifBlock(6, Fixture("rgb.jpg"))), size_t{64} << 10);
  EXPECT_EQ(ExifValueBytes(""), 0U);
  EXPECT_EQ(ExifValueBytes(std::string(11, '\x01')), 0U);
}

// Crafted: 65 kB of EXIF took 534 MB.
TEST(ExifValueBytesTest, ABlockThatWouldTakeHundredsOfMegabytesKeepsItsOrientationAlone) {
  for (const bool little : {true, false}) {
    const NormalizedExif exif = NormalizeExif(SharedBytes(4, 250, 60'000, little), 80, 64);
    EXPECT_EQ(exif.exif, "");
    EXPECT_EQ(exif.orientation, 8);
  }
}

TEST(ExifOrientationTest, ReadsTheFirstDirectory) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(ExifOrientation(ExifBlock(orientation)), orientation);
  }
  EXPECT_EQ(ExifOrientation(ExifBlock(9)), 1);
  EXPECT_EQ(ExifOrientation(ExifBlock(0)), 1);
}

TEST(ExifOrientationTest, AnythingElseIsAsStored) {
  const std::string block = ExifBlock(6);
  for (size_t size = 0; size < 34; ++size) {  // until the second entry, the orientation, is whole
    EXPECT_EQ(ExifOrientation(block.substr(0, size)), 1) << size;
  }
  EXPECT_EQ(ExifOrientation(block.substr(0, 34)), 6);
  std::string of_another_type = block;
  of_another_type[24] = 4;
  EXPECT_EQ(ExifOrientation(of_another_type), 1);
  EXPECT_EQ(ExifOrientation(std::string("II*\0\xff\xff\xff\xff", 8)), 1);
}

}  // namespace
}  // namespace antidiffusion
