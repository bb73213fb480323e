"""Child of the drill of the export, run by the Python of an environment that has Feast: FOLDER
VIEW SPINE OUT.

`feast apply` was called in FOLDER. Reads all features of a feature view at the entities and times
of the Parquet file SPINE, as a Feast user does, and keeps the answer in OUT.
"""

from __future__ import annotations

import sys
import warnings

import pandas as pd
from feast import FeatureStore


def main(folder: str, view: str, spine: str, out: str) -> None:
    """Ask Feast for the history of one feature view."""
    warnings.filterwarnings("ignore")
    store = FeatureStore(repo_path=folder)
    known = store.get_feature_view(view)
    names = [f"{view}:{field.name}" for field in known.features]
    sys.stdout.write(f"{known.owner} {known.tags['version']} {known.tags['privacy']}\n")
    asked = store.get_historical_features(entity_df=pd.read_parquet(spine), features=names)
    asked.to_df().to_parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
