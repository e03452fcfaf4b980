// SPDX-License-Identifier: Apache-2.0
// Calls servers with @grpc/grpc-js, through the service that Triton's own descriptors define.
//
// Standard input is a JSON object: `descriptors` (a FileDescriptorSet, base64), the addresses `plain`, `secure` (TLS),
// `mutual` (TLS both ways) and `aging` (sends connections away), and the PEM files `root`, `certificate` and `key`.
// Prints "in flight" when `mutual` may be told to stop, and at last one line of JSON: what came of each case.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const http2 = require("http2");
const path = require("path");

const seen = { connections: 0, goaways: 0 };
const connect = http2.connect;
http2.connect = (...given) => {
  const session = connect(...given);
  seen.connections += 1;
  const emit = session.emit; // a listener would not do: grpc-js removes all that it finds
  session.emit = function (name, ...more) {
    if (name === "goaway") seen.goaways += 1;
    return emit.call(this, name, ...more);
  };
  return session;
};

const grpc = require("@grpc/grpc-js");
const beside = path.dirname(require.resolve("@grpc/grpc-js"));
const loader = require(require.resolve("@grpc/proto-loader", { paths: [beside] }));

const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const definitions = loader.loadFileDescriptorSetFromBuffer(Buffer.from(asked.descriptors, "base64"), {
  keepCase: true,
  longs: Number,
  oneofs: true,
});
const Service = grpc.loadPackageDefinition(definitions).inference.GRPCInferenceService;

const UNLIMITED = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
const clients = [];
function connected(address, credentials = grpc.credentials.createInsecure(), options = {}) {
  clients.push(new Service(address, credentials, { ...UNLIMITED, ...options }));
  return clients[clients.length - 1];
}

const [root, certificate, key] = [asked.root, asked.certificate, asked.key].map((file) => fs.readFileSync(file));
const plain = connected(asked.plain);
const secure = connected(asked.secure, grpc.credentials.createSsl(root));
const mutual = connected(asked.mutual, grpc.credentials.createSsl(root, key, certificate));

// Resolves to how a call ended: {code, details, answer, metadata}, the last being the trailing metadata.
function ended(start) {
  return new Promise((resolve) => {
    let answer;
    const call = start((error, message) => (answer = message));
    call.on("status", ({ code, details, metadata }) => {
      setImmediate(() => resolve({ code, details, answer, metadata: metadata.getMap() }));
    });
  });
}

function call(client, method, message, fields = {}, options = {}) {
  return ended((callback) => client[method](message, metadataOf(fields), options, callback));
}

function metadataOf(fields) {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.add(name, value);
  return metadata;
}

const floats = (values) => Buffer.from(Float32Array.from(values).buffer);
const floatsIn = (raw) => Array.from({ length: raw.length / 4 }, (_, index) => raw.readFloatLE(4 * index));

// A loader of descriptors, unlike one of .proto files, knows maps only as the lists of entries that they are on the wire.
const parametersOf = (answer) => Object.fromEntries(answer.parameters.map(({ key, value }) => [key, value]));

function infer(values, more = {}) {
  const inputs = [{ name: "INPUT0", datatype: "FP32", shape: [1, values.length] }];
  return { model_name: "wide", inputs, raw_input_contents: [floats(values)], ...more };
}

function repeat(id, values, delayMs) {
  const tensor = (name, datatype, contents, count) => ({ name, datatype, shape: [count], contents });
  const delays = values.map(() => delayMs);
  const inputs = [
    tensor("IN", "INT32", { int_contents: values }, values.length),
    tensor("DELAY", "UINT32", { uint_contents: delays }, values.length),
    tensor("WAIT", "UINT32", { uint_contents: [0] }, 1),
  ];
  const parameters = [{ key: "triton_enable_empty_final_response", value: { bool_param: true } }];
  return { model_name: "repeat", id, inputs, parameters };
}

// Resolves to {code, answers} of a ModelStreamInfer; `onAnswer` is given the call and each answer.
function stream(client, messages, onAnswer = () => {}) {
  return new Promise((resolve) => {
    const answers = [];
    const running = client.ModelStreamInfer();
    running.on("error", () => {}); // the status tells the same
    running.on("status", ({ code }) => setImmediate(() => resolve({ code, answers })));
    running.on("data", (answer) => {
      answers.push(answer);
      onAnswer(running, answer);
    });
    for (const message of messages) running.write(message);
    running.end();
  });
}

const isFinal = (answer) => parametersOf(answer.infer_response).triton_final_response.bool_param;

function oneOf(answer) {
  const { id, raw_output_contents: raw } = answer.infer_response;
  return isFinal(answer) ? [id, null] : [id, raw[0].readInt32LE(0)];
}

const cases = {
  async health() {
    const same = (bytes) => bytes;
    const client = new grpc.Client(asked.plain, grpc.credentials.createInsecure());
    clients.push(client);
    const { code, answer } = await ended((callback) =>
      client.makeUnaryRequest("/grpc.health.v1.Health/Check", same, same, Buffer.alloc(0), callback),
    );
    return { code, bytes: [...answer] };
  },

  async documents() {
    const live = await call(plain, "ServerLive", {});
    const ready = await call(plain, "ModelReady", { name: "wide" });
    const metadata = await call(plain, "ModelMetadata", { name: "wide" });
    const config = await call(plain, "ModelConfig", { name: "wide" });
    const { name, inputs } = metadata.answer;
    return {
      live: live.answer.live,
      ready: ready.answer.ready,
      metadata: { name, inputs },
      backend: config.answer.config.backend,
    };
  },

  async raw() {
    const { code, answer } = await call(plain, "ModelInfer", infer([1.5, -2, 3], { id: "ü" }));
    return { code, id: answer.id, outputs: answer.outputs, values: floatsIn(answer.raw_output_contents[0]) };
  },

  async typed() {
    const inputs = [{ name: "INPUT0", datatype: "FP32", shape: [1, 2], contents: { fp32_contents: [0.5, -8] } }];
    const numbers = await call(plain, "ModelInfer", { model_name: "wide", inputs });
    const contents = { bytes_contents: [Buffer.from("a"), Buffer.alloc(0), Buffer.from([255, 0])] };
    const strings = await call(plain, "ModelInfer", {
      model_name: "identity_bytes",
      inputs: [{ name: "INPUT0", datatype: "BYTES", shape: [1, 3], contents }],
    });
    return {
      numbers: floatsIn(numbers.answer.raw_output_contents[0]),
      strings: [...strings.answer.raw_output_contents[0]],
    };
  },

  async large() {
    const tensor = crypto.randomBytes(4_915_200);
    const inputs = [{ name: "INPUT0", datatype: "FP32", shape: [1, tensor.length / 4] }];
    const request = { model_name: "wide", inputs, raw_input_contents: [tensor] };
    const ends = await Promise.all(Array.from({ length: 3 }, () => call(plain, "ModelInfer", request)));
    return ends.map(({ code, answer }) => [code, tensor.equals(answer.raw_output_contents[0])]);
  },

  async many() {
    const asking = Array.from({ length: 200 }, async (_, index) => {
      const { answer } = await call(plain, "ModelInfer", infer([index]));
      return floatsIn(answer.raw_output_contents[0])[0] === index;
    });
    return (await Promise.all(asking)).filter(Boolean).length;
  },

  async ordered() {
    const messages = Array.from({ length: 50 }, (_, index) => infer([index], { id: String(index) }));
    const { code, answers } = await stream(plain, messages);
    return { code, ids: answers.map((answer) => answer.infer_response.id), final: answers.every(isFinal) };
  },

  async decoupled() {
    const { code, answers } = await stream(plain, [repeat("a", [1, 2, 3], 30), repeat("b", [4, 5], 20)]);
    return { code, answers: answers.map(oneOf) };
  },

  async streamError() {
    const { code, answers } = await stream(plain, [infer([1], { model_name: "x" }), infer([2])]);
    return { code, texts: answers.map((answer) => answer.error_message || null) };
  },

  async deadline() {
    const started = Date.now();
    const { code } = await call(plain, "ModelInfer", slow(), {}, { deadline: started + 50 });
    return { code, ms: Date.now() - started };
  },

  async cancelled() {
    const { code, details } = await ended((callback) => {
      const running = plain.ModelInfer(slow(), callback);
      setTimeout(() => running.cancel(), 50);
      return running;
    });
    return { code, details };
  },

  async cancelledStream() {
    const endless = repeat("c", Array(10_000).fill(1), 10);
    const { code, answers } = await stream(plain, [endless], (running) => running.cancel());
    return { code, isEarly: answers.length < 100 };
  },

  async errors() {
    const told = ({ code, details }) => ({ code, details });
    const same = (bytes) => bytes;
    return {
      missing: told(await call(plain, "ModelMetadata", { name: "x" })),
      failing: told(await call(plain, "ModelInfer", infer([1, 2, 3], { model_name: "failing" }))),
      nothing: told(
        await ended((callback) =>
          plain.makeUnaryRequest("/inference.GRPCInferenceService/X", same, same, Buffer.alloc(0), callback),
        ),
      ),
    };
  },

  async metadata() {
    const fields = { "x-text": "plain", "x-thing-bin": Buffer.from("東京 \u0000"), "x-other-bin": Buffer.from([255]) };
    const { code, answer } = await call(secure, "ModelInfer", { model_name: "parameters" }, fields);
    return {
      code,
      parameters: Object.fromEntries(
        Object.entries(parametersOf(answer)).map(([name, { string_param: text }]) => [name, text]),
      ),
    };
  },

  async gzip() {
    const gzip = connected(asked.secure, grpc.credentials.createSsl(root), {
      "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip,
    });
    const values = Array(5000).fill(2);
    const { code, answer, metadata } = await call(gzip, "ModelInfer", infer(values), { "naiad-timing": "true" });
    return {
      code,
      same: floatsIn(answer.raw_output_contents[0]).every((value, index) => value === values[index]),
      requestBytes: Number(metadata["naiad-request-bytes"]),
      responseBytes: Number(metadata["naiad-response-bytes"]),
    };
  },

  async tls() {
    const strangers = {
      distrusting: connected(asked.secure, grpc.credentials.createSsl()),
      anonymous: connected(asked.mutual, grpc.credentials.createSsl(root)),
      unencrypted: connected(asked.secure),
    };
    const told = {};
    for (const [name, client] of Object.entries({ secure, mutual, ...strangers })) {
      told[name] = (await call(client, "ServerLive", {}, {}, { deadline: Date.now() + 20_000 })).code;
    }
    return told;
  },

  async aging() {
    const client = connected(asked.aging);
    const before = { ...seen };
    const codes = new Set();
    let calls = 0;
    while (seen.goaways < before.goaways + 3) {
      const ends = await Promise.all(Array.from({ length: 8 }, (_, index) => call(client, "ModelInfer", infer([index]))));
      for (const { code } of ends) codes.add(code);
      calls += ends.length;
    }
    return { codes: [...codes], isEnough: calls >= 24, reconnects: seen.connections - before.connections >= 3 };
  },

  async drain() {
    const before = seen.goaways;
    const waiting = [0, 1, 2].map((index) => call(mutual, "ModelInfer", slow([index])));
    let begun = false;
    const streamed = await stream(mutual, [repeat("d", Array(20).fill(7), 25)], () => {
      if (!begun) console.log("in flight");
      begun = true;
    });
    const ends = await Promise.all(waiting);
    const after = await call(mutual, "ServerLive", {}, {}, { deadline: Date.now() + 20_000 });
    return {
      codes: ends.map(({ code }) => code),
      values: ends.map(({ answer }) => floatsIn(answer.raw_output_contents[0])[0]),
      streamed: { code: streamed.code, count: streamed.answers.length },
      goaway: seen.goaways > before,
      after: after.code,
    };
  },
};

function slow(values = [0]) {
  return infer(values, { model_name: "slow" });
}

async function main() {
  setTimeout(() => {
    console.error(`took too long: ${Object.keys(told)} are done`);
    process.exit(1);
  }, 60_000).unref();
  const told = {};
  for (const [name, run] of Object.entries(cases)) {
    try {
      told[name] = await run();
    } catch (error) {
      told[name] = { thrown: error.stack };
    }
  }
  for (const client of clients) client.close();
  console.log(JSON.stringify(told));
}

main();
