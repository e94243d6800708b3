// SPDX-License-Identifier: MIT
// node server.mjs: a server of @grpc/grpc-js on a port of the kernel's choice, which it prints. It has the calls
// Echo, Count, Sum and Chat of tests/lib/grpcs.py, without what metadata asks for there.
import grpc from "@grpc/grpc-js";

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
const limit = 16 * 1024 * 1024;
const server = new grpc.Server({
    "grpc.max_receive_message_length": limit,
    "grpc.max_send_message_length": limit,
});
server.addService(
    {
        Echo: method("Echo", false, false),
        Count: method("Count", false, true),
        Sum: method("Sum", true, false),
        Chat: method("Chat", true, true),
    },
    {
        Echo: (call, done) => done(null, call.request),
        Count: (call) => {
            for (let i = 0; i < Number(String(call.request)); i++) call.write(Buffer.from(String(i)));
            call.end();
        },
        Sum: (call, done) => {
            let count = 0;
            let size = 0;
            call.on("data", (m) => {
                count += 1;
                size += m.length;
            });
            call.on("end", () => done(null, Buffer.from(`${count} ${size}`)));
        },
        Chat: (call) => {
            call.on("data", (m) => call.write(m));
            call.on("end", () => call.end());
        },
    },
);
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    console.log(`listening on ${port}`);
});
