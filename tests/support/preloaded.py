"""What a run imports, for processes that are forked from one that has done so; none of these starts a thread of Python."""

# ruff: noqa: F401
import alembic
import matplotlib.pyplot
import mlflow.pyfunc
import mlflow.store.tracking.sqlalchemy_store
import pytest
import pytorch_lightning
import torch
import torchmetrics

import dadsp.cli.main
import dadsp.cli.train
import dadsp.data.sources.simulated
import dadsp.drugs.morgan
import dadsp.drugs.structures
import dadsp.evaluation.figures
import dadsp.models.systems.dadsp_a
import dadsp.models.systems.naive
import dadsp.runs.experiment
import dadsp.runs.tracked
import dadsp.tracked_model
import dadsp.tracking
import dadsp.tracking_store
import tests.support.drawing
