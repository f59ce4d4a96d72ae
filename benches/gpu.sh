#!/usr/bin/env bash
# The accelerator's share: CPU and CUDA beside each other, and the same networks in PyTorch's eager mode.
#
#   benches/gpu.sh build     builds with the CUDA toolkit of CUDA_HOME (13.0 suits today's drivers); needs no GPU
#   benches/gpu.sh run       runs what was built, on a machine with a GPU; PYTHON names a Python that has torch,
#                            LD_LIBRARY_PATH the CUDA libraries if the system does not know them, DATA a folder
#                            with CIFAR-10's binary files, LIMIT the seconds that an example may take
#   benches/gpu.sh           both
#
# Without a driver on the building machine, an empty libcuda.so is enough for the linker: what it lacks is found
# where the program runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=target/gpu

build() {
  : "${CUDA_HOME:?the folder of the CUDA toolkit, with bin/nvcc and lib}"
  export CUDA_PATH="$CUDA_HOME" CUDA_ROOT="$CUDA_HOME" CUDA_TOOLKIT_ROOT_DIR="$CUDA_HOME"
  export CUDA_COMPUTE_CAP="${CUDA_COMPUTE_CAP:-90}" PATH="$CUDA_HOME/bin:$PATH"
  if ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so'; then
    mkdir -p "$out/stubs"
    echo 'void nothing(void) {}' >"$out/stubs/cuda.c"
    cc -shared -Wl,-soname,libcuda.so.1 -o "$out/stubs/libcuda.so" "$out/stubs/cuda.c"
  fi
  local lib="$CUDA_HOME/lib"
  test -d "$lib" || lib="$CUDA_HOME/lib64"
  RUSTFLAGS="-L native=$lib -L native=$PWD/$out/stubs -C link-arg=-Wl,--no-as-needed \
    -C link-arg=-Wl,--unresolved-symbols=ignore-all" \
    cargo build --release --locked -p gleaner -p gleaner-benches --features gleaner/cuda \
    --bench gpu --example synthetic --example cifar10 --target-dir "$out/build"
  cp "$out/build/release/examples/"{synthetic,cifar10} "$out/"
  cp "$(find "$out/build/release/deps" -name 'gpu-*' -type f -executable | xargs ls -t | head -n 1)" "$out/gpu"
}

run() {
  # Programs linked against an empty libcuda.so do not ask for the real one by themselves.
  ours() { LD_PRELOAD="libcuda.so.1 libnvrtc.so.13 libcublasLt.so.13" timeout "${LIMIT:-300}" "$@"; }
  ours "$out/gpu"
  "${PYTHON:-python3}" benches/gpu.py || echo 'no PyTorch here'
  for device in cpu cuda; do
    local start=$SECONDS
    ours "$out/synthetic" --quick --device "$device" --out "$out/synthetic-$device" >/dev/null || echo 'not finished:'
    echo "synthetic --quick --device $device,$((SECONDS - start)) s"
  done
  if test -d "${DATA:-}"; then
    for device in cpu cuda; do
      local start=$SECONDS
      ours "$out/cifar10" --data "$DATA" --quick --device "$device" --out "$out/cifar10-$device" >/dev/null ||
        echo 'not finished:'
      echo "cifar10 --quick --device $device,$((SECONDS - start)) s"
    done
  fi
}

case "${1:-both}" in
  build) build ;;
  run) run ;;
  *) build && run ;;
esac
