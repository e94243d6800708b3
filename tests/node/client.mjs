// SPDX-License-Identifier: MIT
// node client.mjs PORT [CA]: makes calls of every kind with @grpc/grpc-js, and prints what came of them as
// one line of JSON. Messages are plain bytes; the service is that of tests/lib/grpcs.py.
import {readFileSync} from "node:fs";
import grpc from "@grpc/grpc-js";

const [port, ca] = process.argv.slice(2);
const credentials = ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure();
const same = (x) => x;
const method = (name, requestStream, responseStream) => ({
    path: `/test.Test/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
});
const Service = grpc.makeGenericClientConstructor(
    {
        echo: method("Echo", false, false),
        count: method("Count", false, true),
        sum: method("Sum", true, false),
        chat: method("Chat", true, true),
    },
    "test.Test",
);
const limit = 16 * 1024 * 1024;
const client = new Service(`localhost:${port}`, credentials, {
    "grpc.max_receive_message_length": limit,
    "grpc.max_send_message_length": limit,
});
const bytes = (text) => Buffer.from(String(text));
const metadata = (fields) => {
    const m = new grpc.Metadata();
    for (const [name, value] of Object.entries(fields)) m.set(name, value);
    return m;
};

const unary = (request, fields = {}, options = {}) =>
    new Promise((resolve) => {
        const seen = {};
        const call = client.echo(request, metadata(fields), options, (error, answer) => {
            seen.code = error?.code ?? 0;
            seen.details = error?.details;
            seen.answer = answer;
        });
        call.on("metadata", (m) => (seen.initial = m));
        call.on("status", (s) => resolve({...seen, trailing: s.metadata}));
    });

const all = async (stream) => {
    const got = [];
    for await (const message of stream) got.push(message);
    return got;
};

const result = {};
const first = await unary(bytes("hello"), {trace: "abc", "secret-bin": Buffer.from([0, 255])});
result.unary = String(first.answer);
result.initial = [first.initial.get("backend")[0], first.initial.get("initial-bin")[0].toString("hex")];
result.trailing = first.trailing.get("final-bin")[0].length;
result.error = await unary(bytes(""), {want: "abort"}).then(({code, details}) => [code, details]);
result.deadline = await unary(bytes(""), {want: "wait"}, {deadline: Date.now() + 500}).then(({code}) => code);
result.large = (await unary(Buffer.alloc(4 * 1024 * 1024, 7))).answer?.length;
result.count = (await all(client.count(bytes("100")))).map(Number).reduce((a, b) => a + b);
result.sum = await new Promise((resolve) => {
    const call = client.sum((error, answer) => resolve(error ? error.code : String(answer)));
    for (let i = 0; i < 100; i++) call.write(bytes(i));
    call.end();
});
const chat = client.chat();
const answers = all(chat);
for (let i = 0; i < 50; i++) chat.write(bytes(i));
chat.end();
result.chat = (await answers).length;
result.many = (await Promise.all(Array.from({length: 200}, (_, i) => unary(bytes(i)))))
    .map(({answer}) => Number(String(answer)))
    .every((n, i) => n === i);
const endless = client.count(bytes("100000 every 0.01"));
result.cancelled = await new Promise((resolve) => {
    endless.on("error", (e) => resolve(e.code));
    endless.once("data", () => endless.cancel());
});
client.close();
console.log(JSON.stringify(result));
