"""Pictures of what the network does and how it learned.

Each kind of ``exprocr visualize`` has a module that draws it, and parts that it alone uses:

- features: `features`, drawn by `grid` (maps) or `heatmap` (units over frames)
- alignment: `alignment`, with `posteriors` (the heat map) and `labels` (the characters)
- saliency: `saliency`, computed by `attribution`, `path_integral` and `cost`
- filters: `filters`
- architecture: `architecture` and `blocks`; measured by `profile` and `anatomy` into `stages`
- weights, distributions, history: modules of these names, laid out by `multiples`
- curves: `curves`, with `curve_data`, `curve_scales` and `curve_axes`
- samples: `samples`, with `spelling` (texts, their differences marked)
- the page of ``exprocr report``: `report`, and the templates in ``page/``

All share `geometry` (where cells lie on a picture), `drawing` (Pillow), `plotting` (matplotlib) and
`picture` (files).
"""
