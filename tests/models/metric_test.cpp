#include "models/metric.h"

#include <doctest/doctest.h>

namespace protolith {

TEST_CASE("metrics are read from text and written back the same") {
  for (const char* text : {"sed", "lsed:0:0.01", "lsed:4:0.1", "temperature:100"}) {
    CHECK(to_string(Metric::parse(text)) == text);
  }
  CHECK(to_string(Metric::parse("lsed")) == "lsed:0:0.01");
  CHECK(to_string(Metric::parse("temperature")) == "temperature:100");
}

TEST_CASE("wrong metrics are usage errors that quote the text") {
  for (const char* text :
       {"", "euclid", "lsed:1", "lsed:1:2:3", "lsed:a:b", "lsed:-1:0.1", "lsed:0:-0.1",
        "lsed:nan:0", "lsed:0:inf", "temperature:0", "temperature:-1", "temperature:nan",
        "temperature:1e-39", "sed:1", "lsed:0:0.01x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(Metric::parse(text), UsageError);
  }
}

TEST_CASE("a temperature is refused where 1/T, which multiplies the distances, overflows") {
  // 1 / 2^-127 = 2^127 is a float; 1 / 2^-128 = 2^128 is not.
  const Metric coldest{.kind = MetricKind::temperature, .temperature = 0x1p-127F};
  CHECK_NOTHROW(coldest.validate());
  CHECK(coldest.leaky().slope == 0x1p127F);
  const Metric colder{.kind = MetricKind::temperature, .temperature = 0x1p-128F};
  CHECK_THROWS_WITH_AS(colder.validate(), doctest::Contains("1/T"), UsageError);
}

TEST_CASE("what the loss kernel is told") {
  CHECK(Metric::parse("sed").leaky().threshold == 0.0F);
  CHECK(Metric::parse("sed").leaky().slope == 1.0F);
  CHECK(Metric::parse("lsed:4:0.1").leaky().threshold == 4.0F);
  CHECK(Metric::parse("lsed:4:0.1").leaky().slope == 0.1F);
  // The identity behind the paper's Omniglot setting, to the last bit.
  CHECK(Metric::parse("temperature:100").leaky().slope == Metric::parse("lsed").leaky().slope);
}

}  // namespace protolith
