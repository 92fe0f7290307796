"""CTC decoding under a grammar: from log-probabilities to texts, confidences and positions."""
