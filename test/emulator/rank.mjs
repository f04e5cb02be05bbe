// One rank of nccl.test.ts: a thread with a device of its own, which does the steps that it is told and posts what came of it.
import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";

const { addon, rank, ranks, device = rank, id, steps } = workerData;
const { emulator } = createRequire(import.meta.url)(addon);
const { runtime } = emulator;
const nccl = emulator.nccl();
const out = new BigUint64Array(1);
const create = (call) => {
  const error = call();
  if (error !== 0) throw new Error(`${error}: ${emulator.refusal()}`);
  return out[0];
};

function main() {
  runtime.cudaSetDevice(device);
  const joined = nccl.commInitRank(out, ranks, id, rank);
  if (joined !== 0) return { joined, refusal: emulator.refusal() };
  const communicator = out[0];
  const streams = [0, 1].map(() => create(() => runtime.cudaStreamCreateWithFlags(out, 1)));
  const results = [];
  const values = [];
  for (const { call, send, receive, type, reduction = 0, root = 0, stream = 0 } of steps) {
    const from = create(() => runtime.cudaMalloc(out, send.byteLength));
    runtime.cudaMemcpyAsync(from, send, send.byteLength, 1, streams[stream]);
    const to = create(() => runtime.cudaMalloc(out, receive * send.BYTES_PER_ELEMENT));
    const count = call === "reduceScatter" ? receive : send.length;
    const extra = call === "allGather" ? [] : [call === "broadcast" ? root : reduction];
    results.push(nccl[call](from, to, count, type, ...extra, communicator, streams[stream]));
    values.push([send.constructor, to, receive * send.BYTES_PER_ELEMENT, streams[stream]]);
  }
  const received = values.map(([Values, from, bytes, stream]) => {
    const host = new Values(bytes / Values.BYTES_PER_ELEMENT);
    return { error: runtime.cudaMemcpyAsync(host, from, bytes, 2, stream), values: host };
  });
  const asyncError = new Int32Array(1);
  nccl.commGetAsyncError(communicator, asyncError);
  const message = nccl.getLastError(communicator);
  nccl.commDestroy(communicator);
  return {
    joined,
    results,
    received,
    asyncError: asyncError[0],
    message,
    violation: emulator.violation(device),
  };
}

parentPort.postMessage(main());
