"""Reading pictures: from files to predictions."""
