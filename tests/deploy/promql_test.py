"""Shows that the reader of expressions finds what it must find."""

import unittest

import promql

KNOWN = {"antidiffusion_jobs_total": {"model", "outcome"}, "antidiffusion_wait_seconds": {"class"},
         "class:antidiffusion_wait_seconds:p95": {"class", "job"}}


class PromqlTest(unittest.TestCase):
    def test_finds_metrics_and_labels_of_selectors_and_groups(self):
        self.assertEqual(
            promql.references('sum by (model, job) (rate(antidiffusion_jobs_total{outcome="a",'
                              'instance=~"$b"}[5m])) / on (job) antidiffusion_draining'),
            [("antidiffusion_jobs_total", {"model", "job", "outcome", "instance"}),
             ("antidiffusion_draining", set())])

    def test_knows_the_series_of_histograms(self):
        good = "histogram_quantile(0.9, sum by (class, le) (antidiffusion_wait_seconds_bucket))"
        self.assertEqual(promql.unknown(good, KNOWN), [])
        self.assertEqual(promql.unknown("sum by (le) (antidiffusion_wait_seconds_sum)", KNOWN),
                         ["antidiffusion_wait_seconds_sum has no label le"])

    def test_names_what_is_not_there(self):
        self.assertEqual(promql.unknown("antidiffusion_nothing", KNOWN),
                         ["no metric antidiffusion_nothing"])
        self.assertEqual(promql.unknown('antidiffusion_jobs_total{class!="x"}', KNOWN),
                         ["antidiffusion_jobs_total has no label class"])
        self.assertEqual(promql.unknown("sum by (tenant) (antidiffusion_jobs_total)", KNOWN),
                         ["antidiffusion_jobs_total has no label tenant"])
        self.assertEqual(promql.unknown('class:antidiffusion_wait_seconds:p95{class="a"}', KNOWN), [])
        self.assertEqual(len(promql.unknown("class:antidiffusion_wait_seconds:p99", KNOWN)), 1)

    def test_reads_the_page_and_the_exposition(self):
        page = ("### Metrics\n\n| metric | type | labels |\n| --- | --- | --- |\n"
                "| `a_total`, `b_seconds` | counter, histogram | `x`, and `y` for the counter |\n"
                "| `m_{used,free}_bytes` | gauge | |\n\n### Logs\n| `c` | | `z` |\n")
        self.assertEqual(promql.of_page(page),
                         {"antidiffusion_a_total": {"x", "y"}, "antidiffusion_b_seconds": {"x", "y"},
                          "antidiffusion_m_used_bytes": set(), "antidiffusion_m_free_bytes": set()})
        text = ("# HELP h x\n# TYPE h histogram\nh_bucket{a=\"1\",le=\"+Inf\"} 0\nh_count{a=\"1\"} 0\n"
                "# TYPE c_count gauge\nc_count 3\n")
        self.assertEqual(promql.of_exposition(text), {"h": {"a"}, "c_count": set()})


if __name__ == "__main__":
    unittest.main()
