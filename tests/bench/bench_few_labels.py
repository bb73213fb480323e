"""What a model of few labels is worth beside the rules, and what its intervals hold.

In the small world of the tests: log loss on its later rows as they were recorded, and coverage of
the planted chance where outcomes are drawn from it. Means over DRAWS draws of labelled accounts.
The last line is one JSON object.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.settings import ROOT, Settings
from cluster.workspace import Workspace
from features.sources.mapping import load_source
from features.sources.world.generate import generate
from jobs import console
from jobs.ingest.run import JOB as INGEST
from jobs.ingest.run import IngestSettings
from jobs.materialize.question import MaterializeSettings
from jobs.materialize.run import JOB as MATERIALIZE
from tests.acceptance import test_few_labels as few

if TYPE_CHECKING:
    import pyarrow as pa

DRAWS = 12
WORLD = str(ROOT / "tests" / "small_world.yaml")


def main() -> None:
    """Measure at each number of labels."""
    rows = _rows()
    config = load_source(WORLD).world
    assert config
    chance = generate(config).truth["leads"].set_index("lead")["probability_60d"]
    figures: dict[str, object] = {"rows": len(rows), "draws": DRAWS}
    for labels in few.MORE:
        ours, others, worse = few.never_worse(rows, labels, DRAWS)
        figures |= {
            f"log_loss_{labels}": round(ours, 4),
            f"log_loss_rules_{labels}": round(others, 4),
            f"worse_than_rules_{labels}": round(worse, 4),
        }
        held = few.covered(rows, chance, labels, DRAWS) if labels in few.LABELS else {}
        figures |= {f"{name}_{labels}": value for name, value in held.items()}
        print(labels, round(ours, 4), round(others, 4), held, flush=True)
    print(json.dumps(figures))


def _rows() -> pa.Table:
    with (
        tempfile.TemporaryDirectory(prefix="bench-few-") as home,
        Workspace.open(Settings(home=Path(home), buckets=4)) as workspace,
    ):
        asked = IngestSettings(source=WORLD, runner="inline")
        console.perform(INGEST, asked, workspace, lambda *_: None)
        made = MaterializeSettings(target=few.TARGET.name, purpose="training", runner="inline")
        console.perform(MATERIALIZE, made, workspace, lambda *_: None)
        table = workspace.tables.read(few.TARGET.training_table)
        return table.filter(table["mature"])


if __name__ == "__main__":
    main()
