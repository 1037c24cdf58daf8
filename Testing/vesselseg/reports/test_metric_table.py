from __future__ import annotations

import csv
import io
import json
import math

import numpy as np

from vesselseg.geometry import Geometry
from vesselseg.metrics import evaluate
from vesselseg.reports.metric_table import EXPLANATIONS, METRICS, MetricInfo, metrics_csv, metrics_json, metrics_text
from vesselseg.volume import Volume


def values(length: int) -> dict[str, float]:
    label = np.zeros((12, 12, 12), np.uint8)
    label[3:9, 4:6, 4:6] = 1
    found = np.zeros_like(label)
    found[3 : 3 + length, 4:6, 4:6] = 1
    return evaluate(Volume(found, Geometry(label.shape)), Volume(label, Geometry(label.shape)))


def test_every_metric_has_a_title_and_there_is_none_too_many() -> None:
    assert [info.key for info in METRICS if info.key not in values(3)] == []
    assert set(values(3)) == {info.key for info in METRICS}
    assert all(info.title for info in METRICS)
    with_units = {info.key: info.unit for info in METRICS if info.unit}
    assert all(key.endswith(unit) for key, unit in with_units.items() if "positives" not in key and "neg" not in key)


def test_every_metric_is_explained_in_a_sentence() -> None:
    assert list(EXPLANATIONS) == [info.key for info in METRICS]
    assert all(info.explanation.endswith(".") and len(info.explanation) < 100 for info in METRICS)
    assert MetricInfo("seconds", "time").explanation == ""


def test_only_tables_on_a_screen_tell_the_other_name_of_precision() -> None:
    assert {info.title: info.table_title for info in METRICS if info.title != info.table_title} == {
        "precision": "precision (PPV)"
    }
    assert "PPV" not in metrics_csv({"whole volume": values(3)}) + metrics_text({"whole volume": values(3)})


def test_text_gives_millimetres_to_hundredths_and_files_give_every_digit() -> None:
    distance = next(info for info in METRICS if info.unit == "mm")
    assert (distance.text(1 / 3), METRICS[0].text(1 / 3), distance.text(math.inf)) == ("0.33", "0.333", "-")
    exact = {**values(3), distance.key: 1 / 3}
    assert repr(1 / 3) in metrics_csv({"whole volume": exact})
    assert json.loads(metrics_json(exact))[distance.key] == 1 / 3


def test_csv_holds_every_value_by_region() -> None:
    rows = list(csv.DictReader(io.StringIO(metrics_csv({"inside mask": values(6), "whole volume": values(0)}))))
    assert list(rows[0]) == ["metric", "title", "unit", "inside_mask", "whole_volume"]
    by_key = {row["metric"]: row for row in rows}
    assert float(by_key["dice"]["inside_mask"]) == 1
    assert by_key["hd95_mm"] == {
        "metric": "hd95_mm", "title": "95 % Hausdorff distance", "unit": "mm", "inside_mask": "0.0", "whole_volume": "",
    }  # fmt: skip


def test_text_names_regions_only_where_there_are_several() -> None:
    one = metrics_text({"whole volume": values(3)})
    assert "whole volume" not in one
    assert one.splitlines()[0].split() == ["Dice", f"{values(3)['dice']:.3f}"]
    assert "true positives" not in one
    two = metrics_text({"inside mask": values(6), "whole volume": values(0)}, everything=True)
    assert two.splitlines()[0].split() == ["inside", "mask", "whole", "volume"]
    assert len(two.splitlines()) == len(METRICS) + 1
    assert "- mm" in two


def test_json_is_json_for_every_program() -> None:
    text = metrics_json({**values(0), "whole_volume": values(6)})
    assert metrics_json({"a": math.nan, "b": {"c": 1, "d": 0.1}}) == (
        '{\n  "a": null,\n  "b": {\n    "c": 1,\n    "d": 0.1\n  }\n}\n'
    )

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    read = json.loads(text, parse_constant=refuse)
    assert read["hd95_mm"] is None
    assert read["whole_volume"]["dice"] == 1
    assert math.isinf(values(0)["hd95_mm"])
