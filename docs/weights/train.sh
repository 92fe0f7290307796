#!/bin/sh
# Train the general model, from scratch: sh docs/weights/train.sh DIGITS [RUN]
#
# Run it from the checkout's root. DIGITS is a folder with the two files of MNIST's test part,
# t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz; the fonts are those of font-packages.txt.
# After Ctrl-C, and whatever else ended it, the same command goes on.
set -e
digits=${1:?expected a folder of handwritten digits} run=${2:-runs/general}
test -d fonts || python docs/weights/split_fonts.py fonts /usr/share/texlive/texmf-dist/fonts
if test -d "$run/checkpoint"; then
  exprocr train --resume "$run"
else
  exprocr train --config docs/weights/general.toml --digits "$digits" --output "$run"
fi
cp "$run/model.safetensors" exprocr/weights/general.safetensors
