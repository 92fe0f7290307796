"""Grammars: which texts a reading may be, as deterministic finite automata."""
