"""Shows that the include table's check finds what it must find."""

import tempfile
import unittest
from pathlib import Path

import include_table

PAGE = """
| folder | may include | third party |
| --- | --- | --- |
| `core/base` | - | abseil |
| `core/image` | `core/base` | abseil; OpenCV in `.cc` files only |
| `core/tensor` | `core/base`, `core/image` | torch |
| `core/protect` | `core/tensor` | torch |
| `server` | `proto`, `core/image`, `core/protect/api.h` | abseil, gRPC |

| library | its headers |
| --- | --- |
| abseil | `absl/` |
| gRPC | `grpcpp/` |
| OpenCV | `opencv2/` |
| torch | `torch/`, `ATen/` |
"""


class IncludeTableTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("core/base/a.h", "#include <vector>\n#include <sys/mman.h>\n"
                                    '#include "absl/status/status.h"\n')
        self.write("core/image/image.h", '#include "core/base/a.h"\n')
        self.write("core/image/codec.cc", "#include <opencv2/core.hpp>\n")
        self.write("core/tensor/device.h", "#include <ATen/ATen.h>\n")
        self.write("core/protect/api.h", "#include <string>\n")
        self.write("core/protect/pgd.h", '#include "core/tensor/device.h"\n')
        self.write("server/main.cc", '#include "core/protect/api.h"\n#include <grpcpp/grpcpp.h>\n'
                                     '#include "antidiffusion/v1/protection.grpc.pb.h"\n')

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def problems(self, page=PAGE):
        return list(include_table.Checker(self.root, include_table.read_tables(page)).check_all())

    def test_a_tree_that_keeps_the_table_is_clean(self):
        self.assertEqual(self.problems(), [])

    def test_a_folder_that_is_not_in_the_row_is_found(self):
        self.write("core/base/a.h", '\n#include "core/image/image.h"\n')
        self.assertEqual(self.problems(),
                         ["core/base/a.h:2: core/image/image.h: not in the folder's row"])

    def test_only_the_named_headers_of_a_folder_are_allowed(self):
        self.write("server/job.h", '#include "core/protect/pgd.h"\n')
        self.assertIn("server/job.h:1: core/protect/pgd.h: not in the folder's row",
                      self.problems())

    def test_a_library_that_is_not_in_the_row_is_found(self):
        self.write("server/job.cc", "#  include <torch/types.h>\n")
        self.assertEqual(self.problems(),
                         ["server/job.cc:1: torch/types.h: torch is not in the folder's row"])

    def test_a_library_reached_through_an_allowed_header_is_found(self):
        self.write("core/protect/api.h", '#include "core/tensor/device.h"\n')
        self.assertEqual(self.problems(),
                         ["server/main.cc: reaches torch through core/tensor/device.h"])

    def test_a_library_for_sources_only_is_found_in_a_header(self):
        self.write("core/image/codec.h", '#include "opencv2/core.hpp"\n')
        self.assertIn("core/image/codec.h:1: opencv2/core.hpp: OpenCV only in .cc files",
                      self.problems())

    def test_generated_code_is_for_folders_that_name_proto(self):
        self.write("core/base/b.cc", '#include "antidiffusion/v1/protection.pb.h"\n')
        self.assertEqual(self.problems(), ["core/base/b.cc:1: antidiffusion/v1/protection.pb.h: "
                                           "proto is not in the folder's row"])

    def test_an_unknown_library_is_found(self):
        self.write("core/base/b.cc", "#include <boost/any.hpp>\n#include \"zlib.h\"\n")
        self.assertEqual(len(self.problems()), 2)

    def test_an_include_relative_to_its_own_folder_is_found(self):
        self.write("core/image/codec.cc", '#include "image.h"\n')
        self.assertEqual(len(self.problems()), 1)

    def test_a_folder_without_a_row_is_found(self):
        self.write("core/video/a.cc", "")
        self.assertEqual(self.problems(),
                         ["core/video/a.cc: its folder has no row in docs/architecture.md"])

    def test_a_circle_of_includes_ends(self):
        self.write("core/base/a.h", '#include "core/base/b.h"\n')
        self.write("core/base/b.h", '#include "core/base/a.h"\n')
        self.assertEqual(self.problems(), [])

    def test_a_page_without_the_table_or_with_an_unknown_library_is_an_error(self):
        with self.assertRaises(include_table.TableError):
            self.problems("nothing here")
        with self.assertRaises(include_table.TableError):
            self.problems(PAGE.replace("abseil, gRPC", "abseil, Boost"))


if __name__ == "__main__":
    unittest.main()
