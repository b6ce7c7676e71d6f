#!/bin/sh
# Before containerd starts for the first time in a node: what was unpacked once, at /stock, is its own. What it writes
# itself (the indexes, new layers) lies in the node; the layers of the stock are only pointed at, and stay as they are.
set -e
own=/var/lib/containerd
[ -e $own/.stocked ] && exit 0
rm -rf $own/io.containerd.*
cd /stock
for part in io.containerd.metadata.v1.bolt io.containerd.content.v1.content io.containerd.snapshotter.v1.*; do
  mkdir -p -m 700 $own/$part
  find $part -mindepth 1 -maxdepth 1 -type f -exec cp -p -t $own/$part {} +
done
for folder in io.containerd.content.v1.content/blobs/* io.containerd.snapshotter.v1.*/snapshots; do
  [ -d "$folder" ] || continue
  mkdir -p -m 700 $own/$folder
  find /stock/$folder -mindepth 1 -maxdepth 1 -exec ln -s -t $own/$folder {} +
done
mkdir -p -m 700 $own/io.containerd.content.v1.content/ingest
touch $own/.stocked
