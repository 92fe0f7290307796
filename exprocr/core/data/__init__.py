"""Labeled pictures: layouts of data sets, labels, loading."""
