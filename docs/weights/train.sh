#!/bin/sh
# Train the bundled model, from scratch: sh docs/weights/train.sh DIGITS [RUNS]
#
# Run it from the checkout's root. DIGITS is a folder with the two files of MNIST's test part,
# t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz; the fonts are those of font-packages.txt.
# After Ctrl-C, and whatever else ended it, the same command goes on.
set -e
digits=${1:?expected a folder of handwritten digits} runs=${2:-runs/bundled}

train() { # RUN OPTIONS...: begin a run, or take it up
  run=$1
  shift
  if test -f "$run/checkpoint/state.safetensors"; then
    exprocr train --resume "$run"
  else
    exprocr train --digits "$digits" --output "$run" "$@"
  fi
}

test -d fonts || python docs/weights/split_fonts.py fonts /usr/share/texlive/texmf-dist/fonts
adamw=docs/weights/bundled.toml
train "$runs/first" --config $adamw
train "$runs/second" --config $adamw --init "$runs/first" \
  --steps 10000 --learning-rate 3e-3 --seed 33
python docs/weights/finish.py "$runs/first" "$runs/second" "$runs/mean.safetensors"
train "$runs/third" --config $adamw --init "$runs/mean.safetensors" \
  --steps 6000 --learning-rate 2e-3 --seed 35
muon=$runs/muon.toml
awk '{ print } /^\[training\]$/ { print "optimizer = \"muon\"" }' $adamw > "$muon"
train "$runs/fourth" --config "$muon" --init "$runs/third" \
  --steps 14000 --learning-rate 2e-3 --seed 36
python docs/weights/finish.py "$runs/third" "$runs/fourth" "$runs/fourth" \
  exprocr/weights/model.safetensors
exprocr export bundled -o exprocr/weights/model.onnx
