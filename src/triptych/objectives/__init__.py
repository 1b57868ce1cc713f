"""Objectives and estimators: pure functions of tensors, one value per example."""
