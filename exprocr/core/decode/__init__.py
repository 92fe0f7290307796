"""CTC decoding under a grammar: log-probabilities of frames to texts, probabilities, positions."""
