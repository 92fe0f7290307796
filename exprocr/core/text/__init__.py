"""Texts: characters, expressions, grammars."""
