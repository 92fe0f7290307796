"""Pictures of what the network does and how it learned: a room for each kind of picture.

`canvas` is what all of them are drawn with, `plots` are those that matplotlib draws.
"""
