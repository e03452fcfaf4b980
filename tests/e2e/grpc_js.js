// SPDX-License-Identifier: Apache-2.0
// Calls a server with @grpc/grpc-js: node grpc_js.js HOST:PORT MESSAGE_FILE; the file holds a ModelInferRequest.
// Prints one line of JSON: what came of each call.
"use strict";
const fs = require("fs");
const grpc = require("@grpc/grpc-js");

const service = "/inference.GRPCInferenceService/";
const same = (data) => data;
const client = new grpc.Client(process.argv[2], grpc.credentials.createInsecure(), {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
});
const message = fs.readFileSync(process.argv[3]);

function unary(method, body, options = {}) {
  return new Promise((resolve) => {
    client.makeUnaryRequest(service + method, same, same, body, new grpc.Metadata(), options, (error, answer) => {
      resolve(error ? { code: error.code, details: error.details } : { size: answer.length });
    });
  });
}

function stream(count) {
  return new Promise((resolve) => {
    const call = client.makeBidiStreamRequest(service + "ModelStreamInfer", same, same);
    const sizes = [];
    call.on("data", (answer) => sizes.push(answer.length));
    call.on("status", (status) => resolve({ code: status.code, answers: sizes.length }));
    call.on("error", () => {});
    for (let i = 0; i < count; i++) call.write(message);
    call.end();
  });
}

async function main() {
  const live = await unary("ServerLive", Buffer.alloc(0));
  const many = await Promise.all(Array.from({ length: 200 }, () => unary("ModelInfer", message)));
  const missing = await unary("ModelMetadata", Buffer.from([0x0a, 0x01, 0x78]));
  const nothing = await unary("Nothing", Buffer.alloc(0));
  const streamed = await stream(50);
  client.close();
  const sizes = new Set(many.map((one) => JSON.stringify(one)));
  console.log(JSON.stringify({ live, many: [...sizes].map((one) => JSON.parse(one)), missing, nothing, streamed }));
}

main();
