"""Pictures of what the network does and how it learned, with a room for each kind.

`canvas` is what pages are drawn with; `plots` are drawn by matplotlib.
"""
