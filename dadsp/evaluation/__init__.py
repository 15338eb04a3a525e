"""From a PredictionTable to metrics, strata, comparison tables and figures; every system is judged by the same columns."""
