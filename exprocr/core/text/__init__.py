"""What is read: characters, expressions, grammars."""
