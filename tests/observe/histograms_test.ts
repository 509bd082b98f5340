/** Histograms (https://prometheus.io/docs/concepts/metric_types/#histogram). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { familyText } from "../../src/observe/exposition.ts";
import { Histogram, HISTOGRAMS } from "../../src/observe/histograms.ts";

describe("a histogram", () => {
  it("counts each value in all buckets that it fits in, bounds included", () => {
    const histogram = new Histogram({ result: "sent" }, [0.1, 1, 10]);
    for (const value of [0.05, 0.1, 0.5, 10, 11]) histogram.observe(value);
    const samples = histogram.samples();
    assert.equal(
      familyText({ name: "took_seconds", type: "histogram", help: "That it took.", samples }),
      [
        "# HELP took_seconds That it took.",
        "# TYPE took_seconds histogram",
        'took_seconds_bucket{result="sent",le="0.1"} 2',
        'took_seconds_bucket{result="sent",le="1"} 3',
        'took_seconds_bucket{result="sent",le="10"} 4',
        'took_seconds_bucket{result="sent",le="+Inf"} 5',
        'took_seconds_sum{result="sent"} 21.65',
        'took_seconds_count{result="sent"} 5',
        "",
      ].join("\n"),
    );
  });

  it("has bounds that rise, in the unit of its name", () => {
    for (const [name, { bounds }] of Object.entries(HISTOGRAMS)) {
      assert.match(name, /_seconds$/);
      bounds.forEach((bound, i) => assert.ok(i === 0 || bound > bounds[i - 1]!, name));
    }
  });
});

describe("the text format", () => {
  it("escapes line ends and backslashes of a help text, and leaves quotes", () => {
    const text = familyText({ name: "a", type: "gauge", help: 'a\\b\n"c"', samples: [] });
    assert.equal(text, '# HELP a a\\\\b\\n"c"\n# TYPE a gauge\n');
  });

  it("writes infinity as Prometheus does", () => {
    const samples = [{ labels: {}, value: Infinity }, { labels: {}, value: -Infinity }];
    const text = familyText({ name: "a", type: "gauge", help: "A.", samples });
    assert.ok(text.endsWith("\na +Inf\na -Inf\n"));
  });
});
