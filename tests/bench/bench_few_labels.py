"""What a model of few labels is worth beside the rules, and what its intervals hold.

In the small world of the tests: log loss on its later rows as recorded, and coverage where
outcomes are drawn from the planted chance: of that, and of the chance given all that is known of a
lead, which is what trees make of planted chances in WORLDS other worlds. Means over DRAWS draws of
labelled accounts. The last line is one JSON object.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from cluster.settings import ROOT, Settings
from cluster.workspace import Workspace
from features.sources.mapping import load_source
from features.sources.world.generate import generate
from jobs import console
from jobs.ingest.run import JOB as INGEST
from jobs.ingest.run import IngestSettings
from jobs.materialize.question import MaterializeSettings
from jobs.materialize.run import JOB as MATERIALIZE
from jobs.train import fit
from serving import model
from serving.calibrator import sigmoid
from tests.acceptance import test_few_labels as few

type World = tuple[pa.Table, pd.Series]  # labelled rows, and the planted chance by lead

DRAWS = 12
WORLD = ROOT / "tests" / "small_world.yaml"
WORLDS = 5  # others, to learn from what their features tell of planted chances
ROUNDS, DEPTH, RATE = 200, 4, 0.05


def main() -> None:
    """Measure at each number of labels."""
    with tempfile.TemporaryDirectory(prefix="bench-few-") as home:
        own, *others = [_world(Path(home), number) for number in range(WORLDS + 1)]
    rows, chance = own
    known = _known(rows, others)
    told = float(np.corrcoef(known, chance[known.index])[0, 1] ** 2)
    figures: dict[str, object] = {"rows": len(rows), "draws": DRAWS, "known_r2": round(told, 3)}
    for labels in few.MORE:
        ours, others, worse = few.never_worse(rows, labels, DRAWS)
        figures |= {
            f"log_loss_{labels}": round(ours, 4),
            f"log_loss_rules_{labels}": round(others, 4),
            f"worse_than_rules_{labels}": round(worse, 4),
        }
        held = few.covered(rows, chance, known, labels, DRAWS) if labels in few.LABELS else {}
        figures |= {f"{name}_{labels}": value for name, value in held.items()}
        print(labels, round(ours, 4), round(others, 4), held, flush=True)
    print(json.dumps(figures))


def _world(home: Path, number: int) -> World:
    """Return the labelled rows of a world, and the planted chance of its leads."""
    declared = yaml.safe_load(WORLD.read_text())
    declared["world"]["seed"] += number
    source = home / f"world{number}.yaml"
    source.write_text(yaml.safe_dump(declared))
    config = load_source(str(source)).world
    assert config
    chance = generate(config).truth["leads"].set_index("lead")["probability_60d"]
    settings = Settings(home=home / str(number), buckets=4)
    with Workspace.open(settings) as workspace:
        asked = IngestSettings(source=str(source), runner="inline")
        console.perform(INGEST, asked, workspace, lambda *_: None)
        made = MaterializeSettings(target=few.TARGET.name, purpose="training", runner="inline")
        console.perform(MATERIALIZE, made, workspace, lambda *_: None)
        table = workspace.tables.read(few.TARGET.training_table)
        return table.filter(table["mature"]), chance


def _known(rows: pa.Table, others: list[World]) -> pd.Series:
    """Return the chance of each lead given its features, as learnt from planted ones elsewhere."""
    tables = [few.firsts(table) for table, _ in others]
    learnt = pa.concat_tables(tables)
    names = {feature.name: feature.label for feature in few.TARGET.features.features}
    signature = fit.signature(learnt, names)
    truth = np.concatenate(
        [
            chance[table["entity"].to_pylist()].to_numpy()
            for table, (_, chance) in zip(tables, others, strict=True)
        ]
    )
    data = fit.Data(
        matrix=signature.encode(learnt),
        label=truth.astype(np.float32),
        types=tuple(model.feature_types(signature)),
        folds=(),
    )
    booster = fit.refit(data, {"max_depth": DEPTH, "learning_rate": RATE}, ROUNDS)
    mine = few.firsts(rows)
    margin = model.margins(booster, signature.encode(mine))
    return pd.Series(sigmoid(margin.astype(np.float64)), index=mine["entity"].to_pylist())


if __name__ == "__main__":
    main()
