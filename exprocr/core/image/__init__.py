"""From any picture to the input of the network."""
