#!/bin/sh
# In a container of the node image: unpack what the node has from the beginning, and the archives named, into /stock, and
# leave $LINK there, which links it into a node.
set -e
cp -a /var/lib/containerd/. /stock/
printf 'version = 2\nroot = "/stock"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > /tmp/containerd.toml
containerd --config /tmp/containerd.toml > /tmp/containerd.log 2>&1 & pid=$!
for try in $(seq 300); do ctr version > /dev/null 2>&1 && break; sleep 0.1; done
for archive; do
  ctr -n k8s.io images import --all-platforms --digests "/archives/$archive" 2>&1 || { tail -n 3 /tmp/containerd.log; exit 1; }
done
# The node's own images come packed.
ctr -n k8s.io images ls | awk 'NR > 1 && $1 !~ /@|^sha256:/ {print $3}' | sort -u | while read -r digest; do
  ctr -n k8s.io snapshots unpack "$digest" > /tmp/unpacked 2>&1 || { cat /tmp/unpacked; exit 1; }
done
kill $pid
wait $pid || true
printf '%s' "$LINK" > /stock/link-stock.sh
printf '[Service]\nExecStartPre=/bin/sh /stock/link-stock.sh\n' > /stock/containerd.conf
