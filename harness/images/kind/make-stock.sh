#!/bin/sh
# In a container of the node image: unpack what the node has from the beginning, and the archives named, into /stock, and
# leave $LINK there, which links it into a node. The last line says what went wrong.
set -e
failed() { tail -n 3 /tmp/containerd.log; cat "$1"; exit 1; }
cp -a /var/lib/containerd/. /stock/
printf 'version = 2\nroot = "/stock"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > /tmp/containerd.toml
containerd --config /tmp/containerd.toml > /tmp/containerd.log 2>&1 & pid=$!
for try in $(seq 300); do ctr version > /tmp/said 2>&1 && break; sleep 0.1; done
ctr version > /tmp/said 2>&1 || failed /tmp/said
for archive; do
  ctr -n k8s.io images import --all-platforms --digests "/archives/$archive" > /tmp/said 2>&1 || failed /tmp/said
done
# The node's own images come packed.
ctr -n k8s.io images ls > /tmp/images 2> /tmp/said || failed /tmp/said
for digest in $(awk 'NR > 1 && $1 !~ /@|^sha256:/ {print $3}' /tmp/images | sort -u); do
  ctr -n k8s.io snapshots unpack "$digest" > /tmp/said 2>&1 || failed /tmp/said
done
kill $pid
wait $pid || true
printf '%s' "$LINK" > /stock/link-stock.sh
printf '[Service]\nExecStartPre=/bin/sh /stock/link-stock.sh\n' > /stock/containerd.conf
