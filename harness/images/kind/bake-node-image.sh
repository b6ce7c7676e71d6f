#!/usr/bin/env bash
# Bake a node image that `kind create cluster --image` accepts, from bin/ (build-binaries.sh) and Debian 13.
# Needs root, mmdebstrap, zstd and python3. Result: build/node.tar, a docker archive of $NODE_IMAGE.
set -euo pipefail
cd "$(dirname "$0")"
version=$(bin/kubeadm version -o short)
image=${NODE_IMAGE:?} level=${ZSTD_LEVEL:-6}
kind=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kind) || kind=
[ -d "$kind" ] || kind=$(go mod download -json sigs.k8s.io/kind | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
mirror=$(apt-get indextargets --format '$(REPO_URI)' | sort -u | grep -v security | head -1)   # never the sources files
node=build/node images=build/images
rm -rf build; mkdir -p $images

debian() { # directory, variant, packages
  mmdebstrap --quiet --variant="$2" --include="$3" --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    trixie "$1" "$mirror"
}
inside() { # run a shell script in the node's root file system, with mounts that go when it ends
  unshare --mount --pid --fork --kill-child chroot $node sh -euc "mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp; $1"
}
step() { echo "$(date +%T) $*"; }

step "root file systems from Debian"
debian $node minbase systemd,systemd-sysv,dbus,conntrack,iptables,nftables,iproute2,ethtool,kmod,pigz,ca-certificates,curl,jq,procps,busybox-static,containerd,runc,containernetworking-plugins
debian $images/kube-proxy extract base-files,iptables,nftables,conntrack,kmod
for tool in iptables ip6tables; do for verb in '' -save -restore; do ln -sf xtables-nft-multi $images/kube-proxy/usr/sbin/$tool$verb; done; done

step "kind's node files and the node's programs"
cp -r --no-preserve=ownership "$kind"/images/base/files/. $node/
chmod -R u+w $node/etc $node/kind $node/usr/local; chmod 755 $node/kind $node/kind/bin $node/kind/bin/* $node/usr/local/bin/*
cp bin/kubelet bin/kubeadm bin/kubectl $node/usr/bin/
printf %s "$version" > $node/kind/version
sed -i "s/timeout 5 getent ahostsv4 'host/timeout 1 getent ahostsv4 'host/" $node/usr/local/bin/entrypoint   # 5 s at each start where no DNS answers
mkdir -p $node/kind/manifests $node/etc/kubernetes/manifests $node/etc/cni/net.d $node/kind/cni $node/opt/cni
ln -s /usr/lib/cni $node/opt/cni/bin
cp cni/10-pods.conflist $node/kind/cni/; cp cni/pod-network.service $node/etc/systemd/system/
# kind applies a CNI manifest unless its config says disableDefaultCNI; the conflist above is the network, so this one only says so
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cni, namespace: kube-system}\ndata: {from: the node image}\n' > $node/kind/manifests/default-cni.yaml
constant() { sed -n "s/^const $1 = \"\(.*\)\"/\1/p" "$kind"/pkg/build/nodeimage/const_storage.go; }
provisioner=$(constant storageProvisionerImage) helper=$(constant storageHelperImage)
awk '/^const defaultStorageManifest = `/ {on=1; next} on && /^`/ {exit} on' "$kind"/pkg/build/nodeimage/const_storage.go \
  | sed "s|\` + storageProvisionerImage + \`|$provisioner|; s|\` + storageHelperImage + \`|$helper|" > $node/kind/manifests/default-storage.yaml
pause=$(bin/kubeadm config images list --kubernetes-version "$version" | grep /pause:)
sed -i "s|sandbox_image = .*|sandbox_image = \"$pause\"|; /fuse-overlayfs/d; s|^\[proxy_plugins\]||; /containerd-fuse-overlayfs.sock/d; /^  type = \"snapshot\"/d" $node/etc/containerd/config.toml
rm $node/etc/systemd/system/containerd-fuse-overlayfs.service
sed -i 's|/usr/local/bin/containerd|/usr/bin/containerd|' $node/etc/systemd/system/containerd.service
# a machine that withholds CAP_SYS_RESOURCE lets nobody lower an oom score: ask for none
sed -i '/OOMScoreAdjust/d' $node/etc/systemd/system/containerd.service
sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' $node/etc/containerd/config.toml
inside '
  : > /etc/machine-id; rm -f /var/lib/dbus/machine-id
  find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
  cd /lib/systemd/system; rm -f multi-user.target.wants/* local-fs.target.wants/* sockets.target.wants/*udev* sockets.target.wants/*initctl* basic.target.wants/*
  rm -f /etc/systemd/system/*.wants/*
  echo ReadKMsg=no >> /etc/systemd/journald.conf
  systemctl -q enable kubelet.service containerd.service undo-mount-hacks.service pod-network.service; systemctl -q mask systemd-binfmt.service
  ctr oci spec | jq ".hooks.createContainer[0].path = \"/kind/bin/mount-product-files.sh\" | del(.process.rlimits)" > /etc/containerd/cri-base.json
  rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /usr/bin/containerd-shim /usr/bin/containerd-shim-runc-v1
  cd /usr/lib/cni; ls | grep -Evx "ptp|bridge|host-local|loopback|portmap" | xargs rm'

step "the images that kubeadm and kind want, by the names that they give"
program() { # image directory, path of the program in it, program, entrypoint (or none)
  mkdir -p "$images/$1/$(dirname "$2")" "$images/$1/etc" "$images/$1/tmp"; ln -f "bin/$3" "$images/$1/$2" 2>/dev/null || cp "bin/$3" "$images/$1/$2"
  [ -f "$images/$1/etc/passwd" ] || printf 'root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n' > "$images/$1/etc/passwd"
  chmod 1777 "$images/$1/tmp"
  printf '{"Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]%s}' "${4:+, \"Entrypoint\": [\"$4\"]}" > "$images/$1/.config"
}
for name in kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd; do program $name usr/local/bin/$name $name; done
program coredns coredns coredns /coredns
program pause pause pause /pause
program local-path-provisioner usr/bin/local-path-provisioner local-path-provisioner
mkdir -p $images/local-path-helper/bin $images/local-path-helper/tmp; cp $node/bin/busybox $images/local-path-helper/bin/
for applet in sh mkdir rm ls; do ln -s busybox $images/local-path-helper/bin/$applet; done
wanted=()
for name in $(bin/kubeadm config images list --kubernetes-version "$version") "$provisioner" "$helper"; do
  short=${name##*/}; wanted+=("$name=$images/${short%%:*}")
done
python3 archive.py $node/images.tar "$level" "${wanted[@]}"

step "the images into the node's own containerd"
inside '
  printf "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n" > /tmp/config.toml
  containerd --config /tmp/config.toml > /tmp/log 2>&1 & pid=$!
  for i in $(seq 100); do [ -S /run/containerd/containerd.sock ] && ctr version > /tmp/version 2>&1 && break; sleep 0.1; done
  ctr -n k8s.io images import --label=io.cri-containerd.pinned=pinned --all-platforms --no-unpack --digests /images.tar || { cat /tmp/log >&2; exit 1; }
  ctr -n k8s.io images ls -q | grep -v @sha256
  kill $pid; wait $pid || true'
rm $node/images.tar

step "pack"
tar -C $node --one-file-system --numeric-owner --xattrs --sort=name -cf build/layer.tar .
digest=$(sha256sum build/layer.tar | cut -d' ' -f1)
printf '{"architecture": "%s", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:%s"]}, "config": {"Env": ["container=docker"],
 "StopSignal": "SIGRTMIN+3", "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
 "Labels": {"org.opencontainers.image.version": "%s"}}}' "$(dpkg --print-architecture)" "$digest" "$version" > build/config.json
printf '[{"Config": "config.json", "RepoTags": ["%s"], "Layers": ["layer.tar"]}]' "$image" > build/manifest.json
tar -C build -cf build/node.tar manifest.json config.json layer.tar
rm build/layer.tar
step "done: $(stat -c %s build/node.tar) bytes"
