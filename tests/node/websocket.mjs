// SPDX-License-Identifier: MIT
// node websocket.mjs URL [CA]: messages of many sizes to an echo server, with ws; prints how many came back whole.
import {readFileSync} from "node:fs";
import WebSocket from "ws";

const [url, ca] = process.argv.slice(2);
const sizes = [0, 1, 125, 126, 65535, 65536, 1000000];
const socket = new WebSocket(url, ca ? {ca: readFileSync(ca)} : {});
let whole = 0;
socket.on("open", () => {
    for (const n of sizes) socket.send(Buffer.alloc(n, n % 251));
});
socket.on("message", (data) => {
    const n = sizes[whole];
    if (data.equals(Buffer.alloc(n, n % 251))) whole += 1;
    if (whole === sizes.length) socket.close(1000);
});
socket.on("close", (code) => console.log(JSON.stringify({whole, code})));
