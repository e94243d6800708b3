// SPDX-License-Identifier: MIT
// What a screen reader hears: the few things that matter, at most one message each two seconds.

const PAUSE_MS = 2000;
const TOGETHER_MAX = 3;

let waiting: string[] = [];
let timer = 0;

function speak(): void {
    const region = document.getElementById("announcer");
    if (waiting.length === 0 || !region) {
        timer = 0;
        return;
    }
    const more = waiting.length - TOGETHER_MAX;
    region.textContent = waiting.slice(0, TOGETHER_MAX).join(". ") + (more > 0 ? `. And ${more} more changes.` : "");
    waiting = [];
    timer = window.setTimeout(speak, PAUSE_MS);
}

export function announce(text: string): void {
    waiting.push(text);
    if (timer === 0)
        timer = window.setTimeout(speak, 200);
}
